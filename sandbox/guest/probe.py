"""The program that the self-check runs as a candidate: tries what must not work.

Stands alone; the code around a guest does not use it. `algorithm` answers {name: [good, detail]};
the host compares the names with those that it expects, so that a missing check is a failure. Each
check returns what is wrong, or "".
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from typing import Any

_Question = dict[str, Any]
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM_CALLS = {  # name: numbers on x86_64 and aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "open_by_handle_at": (304, 265),
    "mknodat": (259, 33),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "memfd_create": (319, 279),
    "pidfd_getfd": (438, 438),
    "fsopen": (430, 430),
    "syslog": (103, 116),
    "clone3": (435, 435),
}
_FAMILIES = {"INET": 2, "INET6": 10, "NETLINK": 16, "PACKET": 17, "ALG": 38, "VSOCK": 40}


def algorithm(question: _Question) -> dict[str, list[object]]:
    answer: dict[str, list[object]] = {}
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            problem = check(question)
        except Exception as error:
            problem = f"the check itself failed: {error!r}"
        answer[name] = [not problem, str(problem)[:200]]
    return answer


def _works(action: Callable[..., object], *args: object) -> bool:
    try:
        action(*args)
    except OSError:
        return False
    return True


def no_network(_question: _Question) -> str:
    with open("/proc/self/net/dev") as f:
        devices = [line.split(":")[0].strip() for line in f.readlines()[2:]]
    if set(devices) - {"lo"}:
        return f"network devices: {devices}"
    if _works(socket.create_connection, ("127.0.0.1", 9), 1):
        return "a connection was made"
    return "a name was resolved" if _works(socket.getaddrinfo, "example.org", 80) else ""


def socket_families(_question: _Question) -> str:
    pairs = itertools.product(_FAMILIES, (socket.SOCK_STREAM, socket.SOCK_RAW))
    made = [name for name, kind in pairs if _works(socket.socket, _FAMILIES[name], kind)]
    return f"can be made: {made}" if made else ""


def read_only_root(_question: _Question) -> str:
    places = ("/", "/etc", "/opt/python", "/dev", "/proc", "/sys", "/usr", "/var")
    for place in places:
        if os.path.isdir(place) and _works(open, os.path.join(place, "stop-probe"), "w"):
            return f"{place} can be written to"
    return ""


def _status() -> dict[str, str]:
    with open("/proc/self/status") as f:
        return dict(line.split(":\t", 1) for line in f if ":\t" in line)


def no_capabilities(_question: _Question) -> str:
    kinds = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    status = _status()
    held = {kind: status[kind].strip() for kind in kinds if int(status[kind], 16)}
    return f"{held}" if held else ""


def no_new_privileges(_question: _Question) -> str:
    value = _status().get("NoNewPrivs", "missing").strip()
    return "" if value == "1" else f"NoNewPrivs is {value}"


def seccomp_filter(_question: _Question) -> str:
    value = _status().get("Seccomp", "missing").strip()
    return "" if value == "2" else f"Seccomp is {value}"


def system_calls_denied(_question: _Question) -> str:
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    wrong = []
    for name, numbers in _SYSTEM_CALLS.items():
        ctypes.set_errno(0)
        result = _LIBC.syscall(numbers[column], 0, 0, 0, 0, 0, 0)
        if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            wrong.append(f"{name}: {result}, {errno.errorcode.get(ctypes.get_errno())}")
    return ", ".join(wrong)


def no_new_namespaces(_question: _Question) -> str:
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    made = []
    for bit in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x02000000):
        pid = _LIBC.syscall(number, bit | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            os.waitpid(pid, 0)
            made.append(hex(bit))
    return f"clone allowed {made}" if made else ""


def scratch_is_noexec(_question: _Question) -> str:
    with open("/proc/self/mounts") as f:
        mounts = {line.split()[1]: line.split()[3].split(",") for line in f}
    for place in ("/tmp", "/dev/shm"):
        missing = {"noexec", "nosuid", "nodev"} - set(mounts.get(place, ()))
        if missing:
            return f"{place} lacks {sorted(missing)}"
    copy = "/tmp/probe-true"
    with open(copy, "w") as f:
        f.write("#!/opt/python/bin/python3\n")
    os.chmod(copy, 0o755)
    pid = os.fork()
    if pid == 0:
        if _works(os.execv, copy, [copy]):
            os._exit(0)
        os._exit(77)
    _, status = os.waitpid(pid, 0)
    return "" if os.waitstatus_to_exitcode(status) == 77 else "a file in /tmp was executed"


def scratch_is_limited(question: _Question) -> str:
    most = question["tmpfs_mb"] << 20
    for place in ("/tmp", "/dev/shm"):
        info = os.statvfs(place)
        if info.f_blocks * info.f_frsize > most:
            return f"{place} has {info.f_blocks * info.f_frsize} bytes"
    return ""


def file_size_limit(question: _Question) -> str:
    most = question["tmpfs_mb"] << 20
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] > most:
        return "no limit is set"
    try:
        with open("/tmp/probe-large", "wb") as f:
            f.truncate(most + (1 << 20))
    except OSError:
        return ""
    finally:
        if os.path.exists("/tmp/probe-large"):
            os.unlink("/tmp/probe-large")
    return "a larger file was made"


def host_environment_invisible(question: _Question) -> str:
    found = [n for n, v in os.environ.items() if question["secret"] in v or question["secret"] in n]
    return f"{found}" if found else ""


def host_files_invisible(question: _Question) -> str:
    places = [question["canary"], "/proc/1/root" + question["canary"], "/var/run/docker.sock"]
    seen = [place for place in places if os.path.exists(place)]
    return f"{seen}" if seen else ""


def host_processes_invisible(question: _Question) -> str:
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return f"{len(pids)} processes are seen" if len(pids) > question["pids"] else ""


def supervisor_closed(_question: _Question) -> str:
    for pid in (n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()):
        seen = [n for n in ("environ", "mem", "maps") if _works(open, f"/proc/{pid}/{n}")]
        seen += [n for n in ("root/etc", "fd/0", "cwd/.") if _works(os.stat, f"/proc/{pid}/{n}")]
        if seen:
            return f"/proc/{pid}/{seen[0]} is open to the guest"
        if _works(os.kill, int(pid), 0):
            return f"process {pid} can be signalled"
    return ""


def kernel_knobs_closed(_question: _Question) -> str:
    for knob in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"):
        if _works(open, knob, "w"):
            return f"{knob} can be written to"
    with open("/proc/self/oom_score_adj") as f:
        first = int(f.read()) == 1000
    return "" if first else "it would not be the first to die when memory is short"


def no_setuid_programs(_question: _Question) -> str:
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for name in names:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                return os.path.join(folder, name)
    return ""


def no_stray_descriptors(_question: _Question) -> str:
    open_ones = sorted(int(n) for n in os.listdir("/proc/self/fd"))
    strays = [fd for fd in open_ones if fd > 4 and os.path.exists(f"/proc/self/fd/{fd}")]
    return f"{strays}" if strays else ""


CHECKS = (
    no_network,
    socket_families,
    read_only_root,
    no_capabilities,
    no_new_privileges,
    seccomp_filter,
    system_calls_denied,
    no_new_namespaces,
    scratch_is_noexec,
    scratch_is_limited,
    file_size_limit,
    host_environment_invisible,
    host_files_invisible,
    host_processes_invisible,
    supervisor_closed,
    kernel_knobs_closed,
    no_setuid_programs,
    no_stray_descriptors,
)
