#!/bin/sh
# Called by cargo in place of rustc for our own crates: adds the measurement of coverage that libFuzzer needs.
case " $* " in
    *" --crate-name build_script_build "*) exec "$@" ;;
esac
exec "$@" --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
