#!/bin/bash
# Tests the array script on a real Slurm: one node, started in a temporary folder, independent of the system's.
# Twelve recordings in an array of four; one task is killed while it works and requeued. The outputs must be complete and
# equal to those of a single run, byte for byte. Needs slurmctld, slurmd and munged (Debian: slurm-wlm), and
# a program with the test hooks: `cargo build --release --features testing`.
#
#   deploy/slurm/test.sh [PROGRAM]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/target/release/transcribe}")
sbin=/usr/sbin:/sbin
PATH=$PATH:$sbin
for tool in slurmctld slurmd munged sbatch scontrol squeue; do
    command -v "$tool" > /dev/null || { echo "$tool is missing" >&2; exit 2; }
done

work=$(mktemp -d)
chmod 755 "$work"
pids=()
finish() {
    # Only the processes started here, the last one first.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[i]}" 2> /dev/null || true; done
    wait 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT

user=$(id -un)
host=$(hostname -s)
ports=($(python3 - << 'PORTS'
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PORTS
))

mkdir -m 700 "$work/munge"
head -c 128 /dev/urandom > "$work/munge/key"
chmod 600 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge.socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" > /dev/null 2>&1 &
pids+=($!)

mkdir "$work/state" "$work/spool"
cat > "$work/slurm.conf" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$work/munge.socket
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=600
BatchStartTimeout=60
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf

wait_for() { # seconds, what, command
    for ((i = 0; i < $1 * 5; i++)); do
        eval "$3" > /dev/null 2>&1 && return
        sleep 0.2
    done
    echo "timed out waiting for $2" >&2
    tail -n 20 "$work"/*.log >&2 || true
    exit 1
}
wait_for 10 munged "test -S '$work/munge.socket'"
slurmctld -D -c > /dev/null 2>&1 &
pids+=($!)
wait_for 30 slurmctld "scontrol ping | grep -q UP"
slurmd -D -N "$host" > /dev/null 2>&1 &
pids+=($!)
wait_for 30 slurmd "sinfo -h -o %T | grep -qx idle"
echo "slurm:      $(sinfo --version), one node of 2 CPUs"

# Twelve recordings of several lengths, in folders.
mkdir -p "$work/in/a" "$work/in/b"
n=0
for folder in in in/a in/b; do
    for name in long_en short_en short_es long_es; do
        cp "$root/fixtures/long/$name.flac" "$work/$folder/${n}_$name.flac"
        n=$((n + 1))
    done
done
recordings=$(find "$work/in" -name '*.flac' | wc -l)
line=(--model demo --recursive --export srt,txt,json --chunk-length 6 --batch-size 1)
cd "$work"
"$program" in "${line[@]}" --output-dir single --quiet
echo "single run: $recordings recordings, $(find single -name '*.srt' | wc -l) subtitles"

# The second task hangs at its third chunk, where it is killed; when requeued it does not hang.
cat > "$work/program" << PROGRAM
#!/bin/bash
export TRANSCRIBE_REPORT=$work/\$SLURM_ARRAY_TASK_ID.jsonl
if [ "\$SLURM_ARRAY_TASK_ID" = 2 ] && [ "\${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    export TRANSCRIBE_TEST_AT='hang chunk 3'
fi
exec '$program' "\$@"
PROGRAM
chmod +x "$work/program"
export TRANSCRIBE=$work/program
job=$(sbatch --parsable --array=1-4 --cpus-per-task=1 --mem=0 --output="$work/%a.log" \
    "$root/deploy/slurm/transcribe.sbatch" in "${line[@]}" --output-dir array)
echo "array:      job $job, tasks 1 to 4"
wait_for 120 "task 2 to start working" "grep -q 'test hook: chunk' '$work/2.log'"
echo "task 2:     killed and requeued while working; journals so far: $(cd array && find . -name '.*.transcribe' | tr '\n' ' ')"
scontrol requeue "${job}_2"
wait_for 240 "the array to end" "! squeue -h -j $job -t pending,running,completing,configuring | grep -q ."
for task in 1 2 3 4; do
    state=$(scontrol show job "${job}_$task" | grep -oE 'JobState=[A-Z]+|Restarts=[0-9]+|ExitCode=[0-9:]+' | tr '\n' ' ')
    echo "task $task:     $state $(grep -h -- '--shard' "$task.log" | tail -n 1)"
done
grep -q '"event":"file_resumed"' 2.jsonl || { echo "task 2 did not resume" >&2; cat 2.log >&2; exit 1; }
echo "task 2:     resumed its journals"

failed=0
diff -r --exclude='.transcribe-done' single array || failed=1
left=$(find array -name '.*.transcribe' | wc -l)
written=$(find array -name '*.srt' | wc -l)
[ "$written" = "$recordings" ] && [ "$left" = 0 ] || failed=1
echo "outputs:    $(find array -type f ! -name '.*' | wc -l) files, $written of $recordings recordings, $left journals left"
[ "$failed" = 0 ] || { echo "the array and the single run differ" >&2; exit 1; }
echo "passed:     complete, and equal to a single run to the byte"
