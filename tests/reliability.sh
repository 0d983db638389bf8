#!/usr/bin/env bash
# Makes the table in the README's section on reliability again: every test of it in its full form. It takes about an
# hour, and needs root, OpenSSH and loop devices; the fuzzing needs cargo-fuzz and a nightly compiler, and takes
# FUZZ_SECONDS (600) for each of its targets. The table is written only if every test passed: each asserts what its
# row says of it.
set -euo pipefail
cd "$(dirname "$0")/.."

figures=$PWD/target/figures.txt
mkdir -p target
rm -f "$figures"
# What CI leaves out is not left out here.
unset CI

FIGURES=$figures cargo test --test faults
FIGURES=$figures cargo test --test failing_paths
FIGURES=$figures ROUNDS=200 cargo test --test kill
FIGURES=$figures cargo test --test report_batches
FIGURES=$figures CUTS=50 cargo test --test power
FIGURES=$figures cargo test --test sftp
FIGURES=$figures cargo test --test hostile
FIGURES=$figures cargo test --test clock

seconds=${FUZZ_SECONDS:-600}
seeds() {
    case $1 in
    hl7) echo fixtures/demo fixtures/refused fixtures/warned ;;
    cda) echo fixtures/cda fixtures/refused ;;
    documents) ;;
    desk) echo fixtures/refused fixtures/demo ;;
    esac
}
for target in hl7 cda documents desk; do
    mkdir -p "tests/fuzz/corpus/$target"
    # shellcheck disable=SC2046
    cargo +nightly fuzz run -s none --fuzz-dir tests/fuzz "$target" "tests/fuzz/corpus/$target" $(seeds "$target") \
        -- -max_total_time="$seconds" 2>&1 | tee target/fuzz.txt
    # The last line: "Done 1000 runs in 601 second(s)".
    awk '/^Done/ { printf "fuzz inputs\t%s\nfuzz seconds\t%s\n", $2, $5 }' target/fuzz.txt >>"$figures"
done

count() {
    awk -F'\t' -v what="$1" '$1 == what { sum += $2; found = 1 } END { if (!found) exit 1; print sum }' "$figures" || {
        echo "No test told of $1: it was left out, and says above what it needs." >&2
        exit 1
    }
}
table=target/reliability.md
{
    echo "| what | how often | lost | doubled | crossed | command |"
    echo "|---|---|---|---|---|---|"
    while IFS='|' read -r what figure lost doubled crossed command; do
        times=$(count "$figure")
        [ "$figure" = "fuzz inputs" ] && times="$times in $(count "fuzz seconds") s"
        echo "| $what | $times | $lost | $doubled | $crossed | $command |"
    done <<'ROWS'
fault points visited: stopped there, started again|fault points|0|0||`cargo test --test faults`
faults injected: EIO, ENOSPC, EACCES, EMFILE, failed syncs|faults injected|0|0||`cargo test --test faults`
one path fails always, until it is mended: nobody else waits|paths that fail always|0|0||`cargo test --test failing_paths`
`kill -9`, one facility|kills|0|0||`ROUNDS=200 cargo test --test kill`
`kill -9`, ten facilities completing and fetching|kills of ten facilities|0|0|0|`cargo test --test report_batches`
power cuts|power cuts|0|0||`CUTS=50 cargo test --test power`
uploads by SFTP|uploads|0|0|0|`cargo test --test sftp`
hostile inputs|hostile inputs|0|0|0|`cargo test --test hostile`
jumps of the clock by an hour, a day, 400 days, ahead and back, with retention on|clock jumps|0|||`cargo test --test clock`
fuzzed inputs: no panic|fuzz inputs||||[tests/fuzz](tests/fuzz/README.md)
ROWS
} >"$table"
awk -v table="$table" '
    /<!-- figures: end -->/ { inside = 0 }
    !inside { print }
    /<!-- figures -->/ { inside = 1; while ((getline line < table) > 0) print line }
' README.md >target/README.md
cp target/README.md README.md
cat "$table"
