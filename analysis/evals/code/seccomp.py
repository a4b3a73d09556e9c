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

_NEWER = {
    **{"process_madvise": 440, "pidfd_getfd": 438, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447},
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429},
    **{"fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
}
_OLDER = {
    **{"socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271)},
    **{"kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51)},
    **{"unshare": (272, 97), "setns": (308, 268), "add_key": (248, 217), "request_key": (249, 218)},
    **{"keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    **{"kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105)},
    **{"finit_module": (313, 273), "delete_module": (176, 106), "personality": (135, 92)},
    **{"open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262)},
    **{"quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142)},
    **{"sethostname": (170, 161), "setdomainname": (171, 162), "acct": (163, 89), "settimeofday": (164, 170)},
    **{"clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "syslog": (103, 116)},
    **{"iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "mknod": (133, None)},
    **{"mknodat": (259, 33), "memfd_create": (319, 279), "shmget": (29, 194), "semget": (64, 190)},
    **{"msgget": (68, 186), "mq_open": (240, 180), "vhangup": (153, 58), "io_setup": (206, 0)},
}
DENIED = {
    machine: _NEWER | {name: number for name, numbers in _OLDER.items() if (number := numbers[at]) is not None}
    for at, machine in enumerate(ARCHITECTURES)
}
"""Newer calls have one number everywhere; older ones one on x86_64 and one, or none, on aarch64."""
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
