"""A SLURM cluster of one's own on the loopback: `python tests/slurm/cluster.py COMMAND …` starts it, runs the command, stops it.

Six nodes on one machine, one without a card, one with two V100s, the others with one. The cards are devices that every machine
has; SLURM hands them out as it does real ones. Everything lies in a temporary folder; no service of the system is used or changed.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CARDS = {"cpu1": 0, "gpu1": 2, "gpu2": 1, "gpu3": 1, "gpu4": 1, "gpu5": 1}
"""The nodes, and how many cards each has."""

CONFIG = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort={port}
SrunPortRange={first}-{last}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for its credential to expire before it starts again: 120 s if nothing is said.
AuthInfo=socket={folder}/munge.sock,cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
MpiDefault=none
SwitchType=switch/none
TaskPlugin=task/none
# With linuxproc a job on a node that is set down lives on.
ProctrackType=proctrack/pgid
# There are no cgroups here; the accounting ends a job that takes more memory than it asked for.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
KillWait=5
MinJobAge=600
# What a test takes down stays down.
ReturnToService=0
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
# Nodes have as many processors and as much memory as is written here.
SlurmdParameters=config_overrides
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=2-0 State=UP
PartitionName=gpu Nodes=gpu[1-2] MaxTime=2-0 State=UP
# Of their own, so that what tests do to these nodes happens to no other test.
PartitionName=frail Nodes=gpu[3-4] MaxTime=2-0 State=UP
PartitionName=lent Nodes=gpu5 MaxTime=2-0 State=UP PriorityTier=1
PartitionName=urgent Nodes=gpu5 MaxTime=2-0 State=UP PriorityTier=2
"""

DEVICES = ("/dev/null", "/dev/zero")


class Cluster:
    """The daemons of a cluster, from `start` to `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[tuple[str, subprocess.Popen]] = []
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            # The plugin takes SLURM_CONF away from the srun inside a job; a wrapper gives it back.
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start munge, the controller and the nodes, and wait until all nodes are idle."""
        self._configure()
        munge = ["munged", "--foreground", "--force", "--num-threads=2", f"--socket={self.folder}/munge.sock"]
        munge += [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
        self._launch("munged", munge)
        self._wait_for("munge", (self.folder / "munge.sock").exists)
        self._launch("slurmctld", ["slurmctld", "-D"])
        for node in CARDS:
            self._launch(f"slurmd {node}", ["slurmd", "-D", "-N", node])
        idle = ("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N")
        self._wait_for("idle nodes", lambda: set(self.ask(*idle).split()) == set(CARDS))

    def ask(self, *command: str) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.strip()

    def stop(self) -> None:
        """End all jobs, then all daemons, the last one first, then what jobs may have left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ask("scancel", "--user", getpass.getuser())
            until = time.monotonic() + 15
            while self.ask("squeue", "-h") and time.monotonic() < until:
                time.sleep(0.2)
        for _, daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self._left_by_jobs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        address = socket.gethostbyname(host)
        if not address.startswith("127."):
            sys.exit(
                f"test-slurm: expected this machine's name, {host}, to stand for an address of the loopback, found {address}; "
                f"add `127.0.1.1 {host}` to /etc/hosts"
            )
        for name in ("log", "state", "bin", *(f"spool/{node}" for node in CARDS)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        ports = free_ports(101 + len(CARDS))
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr={address} Port={port} CPUs=32 RealMemory=256000"
            + (f" Gres=gpu:v100:{cards}" if cards else "")
            for port, (node, cards) in zip(ports[1:], CARDS.items(), strict=False)
        )
        devices = [
            f"NodeName={node} Name=gpu Type=v100 File={device}"
            for node, cards in CARDS.items()
            for device in DEVICES[:cards]
        ]
        text = CONFIG.format(
            host=host, address=address, user=getpass.getuser(), folder=self.folder, nodes=nodes,
            port=ports[0], first=ports[1 + len(CARDS)], last=ports[-1],
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *devices]) + "\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _launch(self, name: str, command: list[str]) -> None:
        # Debian keeps daemons in sbin, which is not in everyone's path.
        path = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if path is None:
            sys.exit(f"test-slurm: expected {command[0]}, found no such program; `make test-slurm` installs it")
        with (self.folder / "log" / f"{name.replace(' ', '-')}.out").open("w") as output:
            daemon = subprocess.Popen(
                [path, *command[1:]], env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._daemons.append((name, daemon))

    def _wait_for(self, what: str, is_there: Callable[[], bool], seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            ended = [name for name, daemon in self._daemons if daemon.poll() is not None]
            if ended or time.monotonic() > until:
                for log in sorted((self.folder / "log").iterdir()):
                    print(f"== {log.name}\n{log.read_text()[-1000:]}", file=sys.stderr)
                raise RuntimeError(f"the test cluster: expected {what}, found none in {seconds} s; ended: {ended}")
            time.sleep(0.1)

    def _left_by_jobs(self) -> list[int]:
        """Processes whose environment names this cluster: SLURM's own part of a job that could not be ended, and the job's."""
        mine = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mine in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found


def free_ports(count: int) -> list[int]:
    """A row of ports on which nothing listens."""
    for first in range(20000, 32000, count):
        ports = list(range(first, first + count))
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            for port in ports:
                sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports
    raise RuntimeError(f"expected {count} free ports in a row, found none")


def main(command: list[str]) -> int:
    """Run a command on a cluster of its own; Ctrl-C and SIGTERM stop the cluster too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            began = time.monotonic()
            cluster.start()
            print(f"test-slurm: cluster of {len(CARDS)} nodes up in {time.monotonic() - began:.1f} s", flush=True)
            return subprocess.run(command, env=cluster.environment, check=False).returncode
        finally:
            cluster.stop()
            print("test-slurm: cluster stopped", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
