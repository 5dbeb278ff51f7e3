#!/usr/bin/env bash
# Sweeps over thresholds: the end of Hydra's range(a,b,step) is left out or included, depending on the decimals.
#
# Versions: hydra-core 1.3.8 (omegaconf 2.3.1), Python 3.11.
# Guess before running: range(0.1,0.4,0.1) is 0.1, 0.2, 0.3, because the end of a range is left out, as the manual says.
# Behaviour: Hydra adds the steps exactly, but starts from the binary fractions that stand for 0.1 and 0.4. So the end is
# included where the sum stays just below it: always for (0.1, 0.4), never for (0.05, 0.3). Some values come out with 17
# digits (0.30000000000000004), so they name another job, and another cached result, than the value 0.3 typed by hand.
# Output seen on 2026-12-01:
#   x=range(0.1,0.4,0.1): 0.1 0.2 0.30000000000000004 0.4
#   x=range(0.05,0.3,0.05): 0.05 0.1 0.15000000000000002 0.2 0.25
#   x=range(0.3,0.9,0.3): 0.3 0.6 0.8999999999999999
#   x=range(0.5,1.1,0.1): 0.5 0.6 0.7 0.8 0.9 1.0 1.1
# Exit status 0: the behaviour is as described; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.1
cat > "$folder/program.py" <<'PYTHON'
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config):
    print("value", config.x)


main()
PYTHON
cd "$folder"
status=0
check() { # the sweep as typed, the values expected
	values=$(venv/bin/python program.py --multirun "+x=$1" hydra.sweep.dir=jobs | awk '/^value/ { printf "%s%s", sep, $2; sep = " " }')
	echo "x=$1: $values"
	[ "$values" = "$2" ] || status=1
}
check "range(0.1,0.4,0.1)" "0.1 0.2 0.30000000000000004 0.4"
check "range(0.05,0.3,0.05)" "0.05 0.1 0.15000000000000002 0.2 0.25"
check "range(0.3,0.9,0.3)" "0.3 0.6 0.8999999999999999"
check "range(0.5,1.1,0.1)" "0.5 0.6 0.7 0.8 0.9 1.0 1.1"
exit $status
