#!/usr/bin/env bash
# A private Slurm of two nodes on this one machine, to try things out and for the tests: slurm_local.sh start DIR
set -euo pipefail

usage() {
  cat <<'HELP'
usage: tools/slurm_local.sh start DIR    starts it; all its files are in DIR (a short path, empty or absent)
       tools/slurm_local.sh stop DIR     cancels its jobs, ends its daemons and removes DIR

Then `export SLURM_CONF=DIR/slurm.conf`, and sbatch, squeue and --launcher slurm find it. Two nodes of four CPUs each,
whatever the machine has; partition `normal` (the default) and `urgent`, whose jobs preempt and requeue those of `normal`.
Needs Debian's packages slurm-wlm and munge, and root, for which Slurm starts jobs. Exit code 3: it cannot start here.
HELP
}

cannot() { echo "no Slurm here: $*" >&2 && exit 3; }

free_ports() { # three that no program listens on
  python3 -I - <<'PYTHON'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

write_config() {
  local host ports
  host=$(hostname -s)
  read -r -a ports < <(free_ports)
  # cred_expire is also how long a requeued job waits before it starts again.
  # Nodes claim more CPUs than there are, so that nothing waits for a place on a small machine.
  cat >"$dir/slurm.conf" <<CONFIG
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=30
SchedulerParameters=bf_interval=1,sched_interval=5,batch_sched_delay=0
SlurmdParameters=config_overrides
SlurmctldPort=${ports[0]}
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=4 RealMemory=16000
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=4 RealMemory=16000
PartitionName=normal Nodes=ALL Default=YES DefMemPerCPU=4000 PriorityTier=1
PartitionName=urgent Nodes=ALL DefMemPerCPU=4000 PriorityTier=10
CONFIG
}

start() {
  local program
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || cannot "$program is missing (Debian: apt-get install slurm-wlm munge)"
  done
  [[ "$(id -u)" -eq 0 ]] || cannot "only root may start jobs"
  if [[ -n "$(ls -A "$dir" 2>/dev/null)" ]]; then echo "error: $dir is not empty: choose another" >&2 && exit 2; fi
  mkdir -p "$dir"/{munge,state}
  dir=$(cd "$dir" && pwd)
  chmod 700 "$dir/munge"
  head -c 1024 /dev/urandom >"$dir/munge/key"
  chmod 400 "$dir/munge/key"
  write_config
  # --force: the folder's parents may be writable to others, which only says that this is no real cluster
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munge/warnings" || cannot "munged does not start"
  export SLURM_CONF="$dir/slurm.conf"
  slurmctld -c -f "$SLURM_CONF" || { stop && cannot "slurmctld does not start"; }
  for program in node1 node2; do slurmd -f "$SLURM_CONF" -N "$program" || { stop && cannot "slurmd does not start"; }; done
  for _ in {1..150}; do
    if [[ "$(sinfo --noheader --Node --partition=normal --format=%T 2>/dev/null | grep -c idle)" -eq 2 ]]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.2
  done
  tail -n 5 "$dir"/*.log >&2
  stop
  cannot "its nodes did not come up in 30 s"
}

ended() { # PID FILE: waits at most 5 s until the daemon has removed its file
  for _ in {1..50}; do
    if [[ ! -f "$1" ]]; then return; fi
    sleep 0.1
  done
}

stop() {
  local file
  export SLURM_CONF="$dir/slurm.conf"
  if [[ ! -f "$SLURM_CONF" ]]; then echo "error: no Slurm of this command in $dir" >&2 && exit 2; fi
  if [[ -f "$dir/slurmctld.pid" ]]; then # jobs live longer than slurmd
    timeout 10 scancel --user=root --full 2>/dev/null || true
    for _ in {1..50}; do
      if [[ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ]]; then break; fi
      sleep 0.2
    done
  fi
  for file in "$dir"/slurmd-*.pid "$dir/slurmctld.pid" "$dir/munge/pid"; do
    if [[ -f "$file" ]] && kill "$(cat "$file")" 2>/dev/null; then ended "$file"; fi
  done
  rm -rf "$dir"
}

dir="${2:-}"
case "${1:-}" in
  start | stop)
    if [[ -z "$dir" ]]; then usage >&2 && exit 2; fi
    "$1"
    ;;
  -h | --help) usage ;;
  *) usage >&2 && exit 2 ;;
esac
