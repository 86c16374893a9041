"""A machine of its own inside this one: systemd as process 1 in namespaces, on a copy of this system that forgets.

Why here: whether a unit's sandbox lets its program live can only be seen when a service manager runs it.
Never here: expectations.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .processes import Process, wait_until

SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")

# Runs inside of the new namespaces. The system below is read through an overlay whose upper half is memory: whatever the
# machine writes is gone with it. Nothing that is enabled on the system below starts here but systemd's own basics.
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$HOUSE"
mkdir "$HOUSE/upper" "$HOUSE/work" "$HOUSE/root"
mount -t overlay -o "lowerdir=/,upperdir=$HOUSE/upper,workdir=$HOUSE/work" overlay "$HOUSE/root"
cd "$HOUSE/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs mnt
mkdir mnt/shared mnt/below
mount --bind "$SHARED" mnt/shared
# The newer hierarchy alone, whatever the system below uses beside it: controllers of the older one have no namespaces.
mount -t cgroup2 cgroup2 sys/fs/cgroup
# The kernel is shared: nothing of it is set from here.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
# Images of containers forbid packages to start services; here there is somebody who runs them.
rm -f usr/sbin/policy-rc.d
rm -rf etc/systemd/system
mkdir -p etc/systemd/system var/log/journal
for unit in timers.target systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service \
    systemd-udevd.service systemd-udev-trigger.service systemd-hwdb-update.service systemd-binfmt.service kmod-static-nodes.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount; do
    ln -s /dev/null etc/systemd/system/$unit
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/alone.target
echo machine >etc/hostname
ip link set lo up
pivot_root . mnt/below
umount -l /mnt/below
# What systemd mounts for a service it mounts in a helper process, whose mounts have to arrive here.
mount --make-rshared /
exec env -i container=namespaces PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=alone.target --log-target=journal --show-status=0 </dev/null
"""


def impossible():
    """Why no machine can be started here, or nothing."""
    if os.geteuid() != 0:
        return "not root"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "no unshare or nsenter"
    if hierarchy() is None:
        return "no cgroup2 hierarchy"
    probe = ["unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--net", "--cgroup", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=30)
    return done.stderr.strip() or None if done.returncode else None


def hierarchy():
    """Where the newer cgroup hierarchy is mounted; beside an older one it has a folder of its own."""
    places = (CGROUPS, CGROUPS / "unified")
    return next((place for place in places if (place / "cgroup.controllers").exists()), None)


class Machine:
    def __init__(self, folder):
        folder = Path(folder)
        self.shared = folder / "shared"
        self.shared.mkdir(parents=True)
        (folder / "house").mkdir()
        self.group = hierarchy() / f"gatehouse-test-{os.getpid()}"
        self.group.mkdir()
        # A shell joins the group first, so that it is the root of what the namespaces show.
        join = f"echo $$ >{self.group}/cgroup.procs; "
        spaces = "unshare --pid --fork --mount --uts --ipc --net --cgroup --kill-child"
        script = folder / "boot.sh"
        script.write_text(BOOT)
        environment = {"HOUSE": str(folder / "house"), "SHARED": str(self.shared)}
        command = ["sh", "-c", f"{join}exec {spaces} sh {script}"]
        try:
            self.process = Process(command, folder / "machine.log", env=environment)
            self.pid = wait_until(self._child, 20, "the first process")
            wait_until(self._up, 60, f"systemd is up: {self.process.text()[-2000:]}")
        except BaseException:
            self.stop()
            raise

    def _child(self):
        assert self.process.alive(), f"no machine: {self.process.text()[-2000:]}"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _up(self):
        assert self.process.alive(), f"no machine: {self.process.text()[-2000:]}"
        if Path(f"/proc/{self.pid}/comm").read_text().strip() != "systemd":
            return False
        return self.run("systemctl", "is-active", "alone.target", check=False).stdout.strip() == "active"

    def inside(self, *command):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", *map(str, command)]

    def run(self, *command, check=True, seconds=60, input=None):
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, timeout=seconds, input=input, cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done

    def shell(self, script, **options):
        return self.run("sh", "-ec", script, **options).stdout

    def spawn(self, command, log):
        """A process in the machine, which ends with the test."""
        return Process(self.inside(*command), log)

    def write(self, path, text, mode="0644"):
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, input=text)

    def read(self, path):
        return self.run("cat", path).stdout

    def property(self, unit, name):
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def journal(self, unit=None):
        # What a service has said lies with the journal's daemon for a moment before it can be read.
        subprocess.run(self.inside("journalctl", "--sync"), capture_output=True, timeout=30, cwd="/")
        words = ["journalctl", "--no-pager", "--output=cat", *(["-u", unit] if unit else ["-n", "40"])]
        done = subprocess.run(self.inside(*words), capture_output=True, text=True, timeout=30, cwd="/")
        return done.stdout

    def stop(self):
        if hasattr(self, "process"):
            # Process 1 of the namespace: with it ends everything inside.
            if self.process.alive():
                self.process.signal(signal.SIGKILL)
                self.process.exited(20)
            self.process._file.close()
        wait_until(lambda: _removed(self.group), 20, f"{self.group} is empty")


def _removed(group):
    """A group can be removed when its last process is gone for good, which is a moment after its end."""
    try:
        for below, _, _ in os.walk(group, topdown=False):
            os.rmdir(below)
    except OSError:
        return False
    return True
