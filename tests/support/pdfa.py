"""The rules of PDF/A-2b (ISO 19005-2), asked of a file independently of the library that wrote it: by the checker of
pdf_oxide, and the main ones by their text, with pikepdf.

Prints what is found wrong, one line each after the name of who found it, and ends with 1 if there is anything.
"""

import sys
import xml.etree.ElementTree as ElementTree

path = sys.argv[1]
wrong = []

try:
    import pdf_oxide

    answer = pdf_oxide.PdfDocument(path).validate_pdf_a("2b")
    # WARN-007 is said of every file: what the checker does not look at.
    found = answer["errors"] + [it for it in answer["warnings"] if not it.startswith("[WARN-007]")]
    if not answer["valid"] and not found:
        found = ["not valid"]
    wrong.extend(f"pdf_oxide: {it}" for it in found)
    print("asked pdf_oxide")
except ImportError:
    print("skipped: python's pdf_oxide is not installed")

try:
    import pikepdf

    print("asked pikepdf")
except ImportError:
    print("skipped: python's pikepdf is not installed")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def must(is_so, rule):
    if not is_so:
        wrong.append(f"pikepdf: {rule}")


head = open(path, "rb").read(64)
must(head[:7] == b"%PDF-1." and head[7:8] in b"01234567", "6.1.2 the header")
comment = head.split(b"\n", 2)[1]
must(comment[:1] == b"%" and all(byte > 127 for byte in comment[1:5]), "6.1.2 the comment of four bytes")

pdf = pikepdf.open(path)
must(not pdf.is_encrypted and "/Encrypt" not in pdf.trailer, "6.1.3 no encryption")
must("/ID" in pdf.trailer, "6.1.3 the trailer's ID")
root = pdf.Root

# 6.6: what the file says about itself.
metadata = root.get("/Metadata")
must(metadata is not None, "6.6.2 metadata")
if metadata is not None:
    xmp = ElementTree.fromstring(metadata.read_bytes())
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"

    def said(namespace, name):
        for node in xmp.iter():
            attribute = node.get(f"{{{namespace}}}{name}")
            if attribute is not None:
                return attribute
            if node.tag == f"{{{namespace}}}{name}":
                item = node.find(f".//{rdf}li")
                return (node if item is None else item).text
        return None

    pdfaid = "http://www.aiim.org/pdfa/ns/id/"
    must(said(pdfaid, "part") == "2", "6.6.4 part 2")
    must(said(pdfaid, "conformance") == "B", "6.6.4 conformance B")
    info = pdf.trailer.get("/Info", {})
    for key, namespace, name in [
        ("/Title", "http://purl.org/dc/elements/1.1/", "title"),
        ("/Creator", "http://ns.adobe.com/xap/1.0/", "CreatorTool"),
        ("/Producer", "http://ns.adobe.com/pdf/1.3/", "Producer"),
    ]:
        if key in info:
            must(str(info[key]) == said(namespace, name), f"6.6.3 {key} as in the metadata")
    if "/CreationDate" in info:
        digits = lambda text: "".join(letter for letter in text or "" if letter.isdigit())
        created = said("http://ns.adobe.com/xap/1.0/", "CreateDate")
        must(digits(str(info["/CreationDate"]))[:14] == digits(created)[:14], "6.6.3 the time as in the metadata")

# 6.2.3: the colours that are meant.
profiles = []
for intent in root.get("/OutputIntents", []):
    must(intent.get("/S") == "/GTS_PDFA1", "6.2.3 the kind of output intent")
    profile = intent.get("/DestOutputProfile")
    must(profile is not None, "6.2.3 the profile of the output intent")
    if profile is not None:
        content = profile.read_bytes()
        must(content[36:40] == b"acsp" and content[8] <= 4, "6.2.3 an ICC profile of version 2 or 4")
        spaces = {b"RGB ": 3, b"GRAY": 1, b"CMYK": 4}
        must(spaces.get(content[16:20]) == int(profile.get("/N", 0)), "6.2.3 the profile's components")
        profiles.append(content[16:20])
must(len(profiles) == 1, "6.2.3 one output intent")

# 6.7 of the tagged levels; our files claim only B, and are tagged nonetheless.
must(bool(root.get("/Lang")), "a language")
must(bool(root.get("/MarkInfo", {}).get("/Marked", False)), "marked as tagged")
must("/StructTreeRoot" in root, "a tag tree")

for key in ["/AA", "/OpenAction", "/AcroForm", "/Perms", "/Requirements", "/NeedsRendering", "/AlternatePresentations"]:
    must(key not in root, f"no {key} in the catalog")
for key in ["/JavaScript", "/EmbeddedFiles", "/AlternatePresentations"]:
    must(key not in root.get("/Names", {}), f"no {key} among the names")

BLENDS = {
    "/Normal", "/Compatible", "/Multiply", "/Screen", "/Overlay", "/Darken", "/Lighten", "/ColorDodge", "/ColorBurn",
    "/HardLight", "/SoftLight", "/Difference", "/Exclusion", "/Hue", "/Saturation", "/Color", "/Luminosity",
}


def look(thing):
    if isinstance(thing, pikepdf.Stream):
        must("/F" not in thing, "6.1.7 no external stream")
        filters = str(thing.get("/Filter", ""))
        must("LZWDecode" not in filters and "Crypt" not in filters, "6.1.7 filters")
        if thing.get("/Subtype") == "/Image":
            must(not bool(thing.get("/Interpolate", False)), "6.2.8 no interpolation")
            must("/Alternates" not in thing and "/OPI" not in thing, "6.2.8 one picture")
            must("/DeviceCMYK" not in str(thing.get("/ColorSpace", "")), "6.2.4 no device CMYK")
        must(thing.get("/Subtype") != "/PS" and "/Ref" not in thing, "6.2.9 no PostScript, no reference")
    if isinstance(thing, (pikepdf.Dictionary, pikepdf.Stream)):
        kind = thing.get("/Type")
        if kind == "/Font":
            look_at_font(thing)
        if kind == "/ExtGState" or "/BM" in thing:
            must("/TR" not in thing and thing.get("/TR2", "/Default") == "/Default", "6.2.5 no transfer function")
            must(str(thing.get("/BM", "/Normal")) in BLENDS, "6.2.10 the blend mode")
        must(thing.get("/S") not in ["/JavaScript", "/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData"],
             "6.5.1 actions")
        must(kind != "/Filespec", "6.8 no embedded file")
        if thing.get("/S") == "/Figure":
            must("/Alt" in thing, "a figure's alternative text")
        for key in thing.keys():
            must(len(key.encode()) <= 128, "6.1.13 long names")
            look_at_value(thing[key])
    elif isinstance(thing, pikepdf.Array):
        for value in thing:
            look_at_value(value)


def look_at_value(value):
    if isinstance(value, pikepdf.String):
        must(len(bytes(value)) <= 32767, "6.1.13 long strings")
    elif isinstance(value, pikepdf.Object) and not value.is_indirect:
        look(value)


def look_at_font(font):
    name = font.get("/BaseFont")
    if font.get("/Subtype") == "/Type0":
        must("/ToUnicode" in font, f"6.2.11.7 the characters of {name}")
        must(font.get("/Encoding") in ["/Identity-H", "/Identity-V"], f"6.2.11.3 the encoding of {name}")
        return
    descriptor = font.get("/FontDescriptor")
    files = ["/FontFile", "/FontFile2", "/FontFile3"]
    embedded = descriptor is not None and any(file in descriptor for file in files)
    must(embedded or font.get("/Subtype") == "/Type3", f"6.2.11.4 {name} is embedded")
    if font.get("/Subtype") == "/CIDFontType2":
        must("/CIDToGIDMap" in font, f"6.2.11.3 the glyphs of {name}")


for thing in pdf.objects:
    look(thing)

for page in pdf.pages:
    x1, y1, x2, y2 = (float(side) for side in page.mediabox)
    must(3 <= x2 - x1 <= 14400 and 3 <= y2 - y1 <= 14400, "6.1.13 the page's size")
    must("/AA" not in page.obj, "6.5.2 no actions of pages")
    for annotation in page.obj.get("/Annots", []):
        must(int(annotation.get("/F", 0)) & 4 == 4, "6.3.2 annotations are printed")
    depth = 0
    for instruction in pikepdf.parse_content_stream(page):
        operator = str(instruction.operator)
        depth += {"q": 1, "Q": -1}.get(operator, 0)
        must(0 <= depth <= 28, "6.1.13 nested states")
        must(operator not in ["k", "K"], "6.2.4 no device CMYK")
        must(operator not in ["rg", "RG"] or b"RGB " in profiles, "6.2.4 device RGB without its profile")
    must(depth == 0, "6.1.13 states are restored")

for rule in sorted(set(wrong)):
    print(rule)
sys.exit(1 if wrong else 0)
