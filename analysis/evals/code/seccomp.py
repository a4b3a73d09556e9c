"""The system calls that a box may not make, as a classic BPF program for seccomp (Linux: seccomp(2), linux/filter.h).

A deny list, on top of namespaces without network and without capabilities: it takes away what has been a way out of
such a namespace before, memory that no limit of a process counts (memfd, System V), and what all boxes of a user or of
the machine share a quota of (pages of pipes, asynchronous I/O). What is newer than we know is missing (ENOSYS), as in
an older kernel: libraries know what to do then.
"""

import errno
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24  # offsets in struct seccomp_data, low halves
_X32 = 0x40000000
NEWEST = 452
"""fchmodat2, of Linux 6.6: the last one that a C library makes for a program that needs no more than a box gives."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_BOTH = {
    **{"process_madvise": 440, "pidfd_getfd": 438, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447},
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427},
    **{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
}
DENIED = {
    "x86_64": {
        **_BOTH,
        **{"socket": 41, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
        **{"mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308},
        **{"add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323},
        **{"kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176},
        **{"personality": 135, "open_by_handle_at": 304, "name_to_handle_at": 303, "fanotify_init": 300},
        **{"quotactl": 179, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171},
        **{"acct": 163, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305},
        **{"syslog": 103, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "mknod": 133, "mknodat": 259},
        **{"memfd_create": 319, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "vhangup": 153},
        **{"io_setup": 206},
    },
    "aarch64": {
        **_BOTH,
        **{"socket": 198, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
        **{"mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268},
        **{"add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282},
        **{"kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106},
        **{"personality": 92, "open_by_handle_at": 265, "name_to_handle_at": 264, "fanotify_init": 262},
        **{"quotactl": 60, "swapon": 224, "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162},
        **{"acct": 89, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266},
        **{"syslog": 116, "mknodat": 33},
        **{"memfd_create": 279, "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180, "vhangup": 58},
        **{"io_setup": 0},
    },
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_REFUSED_REQUESTS = {
    "x86_64": {16: (0x5412, 0x541C), 72: (1031,)},
    "aarch64": {29: (0x5412, 0x541C), 25: (1031,)},
}
"""By system call: ioctl's TIOCSTI and TIOCLINUX (type into the terminal that started us), fcntl's F_SETPIPE_SZ."""
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020000


def program(machine: str) -> bytes:
    """The filter for `machine` (as `platform.machine` names it), an array of struct sock_filter.

    Raises:
        KeyError: an architecture not in `ARCHITECTURES`.
    """
    refuse, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    missing = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    code = [
        (_LOAD, 0, 0, _ARCH),
        *((_EQUAL, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL)),
        (_LOAD, 0, 0, _NUMBER),
        *((_AT_LEAST, 0, 1, _X32), refuse),
        *((_AT_LEAST, 0, 1, NEWEST + 1), missing),
    ]
    for number in sorted(DENIED[machine].values()):
        code += [(_EQUAL, 0, 1, number), refuse]
    # clone3 hides its flags in memory, where a filter cannot look; told that it is missing, libc uses clone.
    code += [(_EQUAL, 0, 1, _CLONE3), missing]
    code += [(_EQUAL, 0, 4, _CLONE[machine]), (_LOAD, 0, 0, _ARG0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), refuse, allow]
    for call, requests in _REFUSED_REQUESTS[machine].items():
        code += [(_EQUAL, 0, 2 * len(requests) + 2, call), (_LOAD, 0, 0, _ARG1)]
        for request in requests:
            code += [(_EQUAL, 0, 1, request), refuse]
        code += [allow]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in [*code, allow])
