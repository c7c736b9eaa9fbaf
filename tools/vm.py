"""Boots a stock Debian kernel under qemu (plain emulation) and runs a command in it as root.

    python tools/vm.py setup [6.1 6.12 7.x]                  fetch kernels (never installed) and make initramfs
    python tools/vm.py run --kernel 6.1 [--icount] -- CMD…    run CMD in the current directory; its exit code is ours

The guest sees the whole file system of the host read-only, with a tmpfs overlay on top. `--icount` makes one guest
nanosecond one guest instruction. 124: timed out, 99: the guest died. Kernels are kept in ~/.cache/lictor-vm
($LICTOR_VM_DIR); those in $LICTOR_TEST_KERNELS (NAME/boot/vmlinuz-*,
with 9p, overlay and virtio built in) can be named too.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("LICTOR_VM_DIR", Path.home() / ".cache" / "lictor-vm"))
# Kernels that this Debian release does not have, and the suite that has them.
LATER = {"7.x": "trixie-backports"}
_BOOTS = 3
MODULES = ("virtio_pci", "virtio_blk", "9p", "9pnet_virtio", "overlay", "virtio_console")
FIRST = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /mods/*.ko; do [ -e "$module" ] && insmod "$module"; done
mkdir -p /low /up /newroot
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $options,ro,cache=loose hostroot /low || poweroff -f
mount -t tmpfs -o size=70% tmpfs /up; mkdir -p /up/u /up/w
mount -t overlay -o lowerdir=/low,upperdir=/up/u,workdir=/up/w overlay /newroot || poweroff -f
mkdir -p /newroot/out
mount -t 9p -o $options,cache=none hostout /newroot/out
for place in proc sys dev; do mount --move /$place /newroot/$place; done
mount -t tmpfs tmpfs /newroot/run
exec switch_root /newroot /bin/bash /out/init
"""
SECOND = """export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
ip link set lo up; hostname guest; ulimit -n 1048576; ulimit -l unlimited
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf; mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug; mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup; echo "+cpu +memory +pids" > /sys/fs/cgroup/cgroup.subtree_control
ln -sfn /proc/self/fd /dev/fd
for i in 0:stdin 1:stdout 2:stderr; do ln -sfn /proc/self/fd/${i%%:*} /dev/${i#*:}; done
: > /out/begun
bash /out/command > /out/output 2>&1 < /dev/null; echo $? > /out/code
sync; busybox poweroff -f
"""


def kernel_dir(name: str) -> Path | None:
    """Where a kernel of that name lies, if it is here. One from $LICTOR_TEST_KERNELS is taken in at first sight."""
    if not (CACHE / name / "initramfs.gz").exists():
        given = Path(os.environ.get("LICTOR_TEST_KERNELS", "/nonexistent")) / name / "boot"
        if not given.is_dir():
            return None
        (CACHE / name).mkdir(parents=True, exist_ok=True)
        shutil.copytree(given, CACHE / name / "boot", dirs_exist_ok=True)
        _make_initramfs(CACHE / name, [])
    return CACHE / name


def setup(names: list[str]) -> None:
    """Fetch and unpack what is missing."""
    for name in names:
        if kernel_dir(name) is None:
            _fetch(name)


def run(kernel: str, command: list[str], *, icount: bool, smp: int, memory: int, timeout: int, append: str) -> int:
    """Run a command in a guest; prints its output and gives its exit code."""
    where = kernel_dir(kernel)
    if where is None:
        sys.exit(f"there is no kernel {kernel}; run: python tools/vm.py setup {kernel}")
    for _ in range(_BOOTS):
        with tempfile.TemporaryDirectory(prefix="lictor-vm-") as name:
            out = Path(name)
            code = _boot(out, _qemu(where, out, icount, smp, memory, append), command, timeout)
            # Under plain emulation a kernel now and then dies while it patches itself at boot (qemu, not us): then
            # the command was not even begun, and another boot is no second chance for it.
            if code != 99 or (out / "begun").exists():
                break
    return code


def _boot(out: Path, qemu: list[str], command: list[str], timeout: int) -> int:
    (out / "init").write_text(SECOND)
    (out / "command").write_text(f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}\n")
    try:
        subprocess.run(qemu, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        code = 124
    else:
        code = int((out / "code").read_text()) if (out / "code").exists() else 99
    finally:  # also of one that is interrupted
        if (out / "output").exists():
            sys.stdout.write((out / "output").read_text(errors="replace"))
            sys.stdout.flush()
    if code in (99, 124):
        console = (out / "console").read_text(errors="replace") if (out / "console").exists() else ""
        sys.stderr.write(f"the guest {'died' if code == 99 else 'took too long'}:\n{console[-2000:]}\n")
    return code


def _fetch(name: str) -> None:
    """Unpack the packages of a kernel: this release's own, or those of a later suite (`LATER`)."""
    meta = "linux-image-amd64" if name == "6.1" or name in LATER else f"linux-image-{name}-amd64"
    target = CACHE / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="lictor-apt-") as apt:
        environment = _later_apt(Path(apt), LATER[name]) if name in LATER else dict(os.environ)
        packages = _packages(meta, environment)
        if not packages:
            subprocess.run(["apt-get", "update", "-q"], env=environment, check=True, stdout=subprocess.DEVNULL)
            packages = _packages(meta, environment)
        if not packages:
            sys.exit(f"no package of kernel {name} is known to apt; there should be one named {meta}")
        download = ["apt-get", "download", "-q", *packages]
        subprocess.run(download, cwd=target, env=environment, check=True, stdout=subprocess.DEVNULL)
    for archive in target.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, target], check=True)
        archive.unlink()
    if not (target / "lib").exists():
        (target / "lib").symlink_to("usr/lib")
    modules = next((target / "lib" / "modules").iterdir())
    version = modules.name
    if (modules / "vmlinuz").exists():  # where later releases keep it
        (target / "boot").mkdir()
        (modules / "vmlinuz").rename(target / "boot" / f"vmlinuz-{version}")
    subprocess.run(["depmod", "-b", target, version], check=True)
    _make_initramfs(target, _modules(target, version))


def _later_apt(where: Path, suite: str) -> dict[str, str]:
    """An environment in which apt knows one later suite of the archive this machine uses, and touches nothing of it."""
    shown = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split()
    archive = next(uri for uri in found if "security" not in uri)
    (where / "lists" / "partial").mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (where / "sources.list").write_text(f"deb [signed-by={keys}] {archive} {suite} main\n")
    (where / "apt.conf").write_text(
        f'Dir::State::lists "{where}/lists"; Dir::Cache "{where}/cache"; Dir::Etc::sourcelist "{where}/sources.list";'
        'Dir::Etc::sourceparts "/nonexistent"; Acquire::Languages "none"; APT::Sandbox::User "root";'
    )
    return os.environ | {"APT_CONFIG": str(where / "apt.conf")}


def _make_initramfs(target: Path, modules: list[Path]) -> None:
    """What the guest starts from: busybox, the modules to reach the host's files, and `FIRST`."""
    root = target / "root"
    for place in ("bin", "mods", "proc", "sys", "dev"):
        (root / place).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    (root / "init").write_text(FIRST)
    (root / "init").chmod(0o755)
    for number, module in enumerate(modules):
        plain = root / "mods" / f"{number:02}-{module.name.removesuffix('.xz')}"
        if module.suffix == ".xz":
            plain.write_bytes(subprocess.run(["xz", "-dc", module], capture_output=True, check=True).stdout)
        else:
            shutil.copy(module, plain)
    pack = "find . | cpio -o -H newc 2>/dev/null | gzip -9 > ../initramfs.tmp && mv ../initramfs.tmp ../initramfs.gz"
    subprocess.run(["sh", "-c", pack], cwd=root, check=True)


def _packages(meta: str, environment: dict[str, str]) -> list[str]:
    """The image that a meta package stands for now, and the parts that later releases split off it."""
    images = [one for one in _depends(meta, environment) if one.startswith("linux-image-")]
    if not images:
        return []
    version = images[0].removeprefix("linux-image-")
    return images + [one for one in _depends(images[0], environment) if one.endswith(version)]


def _depends(package: str, environment: dict[str, str]) -> list[str]:
    show = ["apt-cache", "depends", package]
    shown = subprocess.run(show, capture_output=True, text=True, env=environment, check=False).stdout
    return [line.split()[-1] for line in shown.splitlines() if line.startswith("  Depends: ")]


def _modules(target: Path, version: str) -> list[Path]:
    found: dict[Path, None] = {}
    for module in MODULES:
        shown = subprocess.run(
            ["modprobe", "-d", target, "-S", version, "--show-depends", module],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found |= dict.fromkeys(Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod"))
    return list(found)


def _qemu(where: Path, out: Path, icount: bool, smp: int, memory: int, append: str) -> list[str]:
    speed = ["-accel", f"tcg,thread={'single' if icount else 'multi'},tb-size=1024"]
    if icount:
        speed += ["-icount", "shift=0,sleep=off"]
    words = (
        "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check audit=0 "
        f"rcupdate.rcu_expedited=1 lsm=lockdown,yama,integrity,apparmor,bpf {append}"
    )
    return [
        "qemu-system-x86_64", *speed,
        "-cpu", "max,-la57,-svm,-vmx,-erms,-fsrm", "-smp", str(1 if icount else smp), "-m", str(memory),
        "-machine", "q35,hpet=off", "-display", "none", "-nodefaults", "-no-reboot", "-no-user-config",
        "-monitor", "none", "-chardev", f"file,id=con,path={out / 'console'}", "-serial", "chardev:con",
        "-kernel", str(next((where / "boot").glob("vmlinuz-*"))), "-initrd", str(where / "initramfs.gz"),
        "-append", words,
        "-fsdev", "local,id=r,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=r,mount_tag=hostroot",
        "-fsdev", f"local,id=o,path={out},security_model=none", "-device", "virtio-9p-pci,fsdev=o,mount_tag=hostout",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a command under a stock Debian kernel.")
    actions = parser.add_subparsers(dest="action", required=True)
    fetch = actions.add_parser("setup")
    fetch.add_argument("kernels", nargs="*", default=["6.1", "6.12"])
    boot = actions.add_parser("run")
    boot.add_argument("--kernel", default="6.1")
    boot.add_argument("--icount", action="store_true")
    boot.add_argument("--smp", type=int, default=2)
    boot.add_argument("--mem", type=int, default=3072, help="MB")
    boot.add_argument("--timeout", type=int, default=600, help="seconds")
    boot.add_argument("--append", default="", help="more words for the kernel's command line")
    boot.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.action == "setup":
        setup(given.kernels)
        return
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("which command?")
    sys.exit(
        run(
            given.kernel,
            command,
            icount=given.icount,
            smp=given.smp,
            memory=given.mem,
            timeout=given.timeout,
            append=given.append,
        )
    )


if __name__ == "__main__":
    main()
