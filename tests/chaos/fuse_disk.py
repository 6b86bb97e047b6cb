"""A disk that loses power: a file system (FUSE) in this process's memory that keeps apart what is not synced, and forgets it when told.

    python -m tests.chaos.fuse_disk MOUNT_POINT      one command a line on standard input, one answer a line on standard output

What stays after a cut, which is what ext4 (data=ordered) leaves of it, or less:
- What is in a file stays from fsync or fdatasync of it on, its size as well. Of what was changed since, each write stays, goes, or stays
  in part (sectors of 512 bytes), in any order; `cut all` lets everything of it go.
- Names (create, mkdir, rename, unlink) are one log, as ext4's journal is. fsync of a directory makes all of it durable that came before;
  of what came since, a beginning stays. fsync of a file does not make its name durable, although ext4 would.
- After an fsync that failed, what it should have made durable is readable until the cut and never durable: the next fsync succeeds
  without it.
A full disk refuses what makes a file larger, not what is written into room that a file has. One that hangs answers nothing meanwhile.
"""

import errno
import random
import stat
import subprocess
import sys
import threading
import time
from itertools import count

from mfusepy import FUSE

from tests.chaos.fuse_nodes import Node

UNMOUNT_SECONDS = 10


class Disk:
    """The operations that libfuse calls, in one thread."""

    use_ns = True

    def __init__(self) -> None:
        root = Node(stat.S_IFDIR | 0o755)
        self.nodes = {"/": root}
        self.durable_nodes = dict(self.nodes)
        self.log: list[list[tuple[str, Node | None]]] = []
        """The changes of names that are not durable: what paths lead to from then on, if to anything."""
        self.opened: dict[int, Node] = {}
        self.handles = count(1)
        self.full = self.failing = False
        self.answering = threading.Event()
        self.answering.set()

    def lose_power(self, chance: random.Random | None) -> None:
        """Forgets what is not durable."""
        for changes in self.log[: chance.randint(0, len(self.log))] if chance else ():
            _name(self.durable_nodes, changes)
        self.log.clear()
        self.opened.clear()
        self.nodes = dict(self.durable_nodes)
        for node in self.nodes.values():
            node.lose_power(chance)

    def init(self, _path: str) -> None:
        print("mounted", flush=True)

    def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
        node = self.opened[handle] if handle else self._node(path)
        size, links = len(node.seen), 2 if stat.S_ISDIR(node.mode) else 1
        return {"st_mode": node.mode, "st_ino": node.inode, "st_nlink": links, "st_size": size, "st_blocks": size // 512}

    def readdir(self, path: str, _handle: int) -> list[tuple[str, dict[str, int], int]]:
        start = path.rstrip("/") + "/"
        here = [each[len(start) :] for each in self.nodes if each.startswith(start) and each != "/" and "/" not in each[len(start) :]]
        return [(".", self.getattr(path), 0), ("..", self.getattr(path), 0), *((name, self.getattr(start + name), 0) for name in here)]

    def mkdir(self, path: str, mode: int) -> None:
        self._change([(path, Node(stat.S_IFDIR | mode))])

    def create(self, path: str, mode: int) -> int:
        self._change([(path, Node(stat.S_IFREG | mode))])
        return self.open(path, 0)

    def open(self, path: str, _flags: int) -> int:
        handle = next(self.handles)
        self.opened[handle] = self._node(path)
        return handle

    def release(self, _path: str, handle: int) -> None:
        del self.opened[handle]

    def unlink(self, path: str) -> None:
        self._node(path)
        self._change([(path, None)])

    rmdir = unlink

    def rename(self, old: str, new: str) -> None:
        moved = [path for path in self.nodes if path == old or path.startswith(old + "/")]
        self._change([(path, None) for path in moved] + [(new + path[len(old) :], self.nodes[path]) for path in moved])

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        self.answering.wait()
        return bytes(self.opened[handle].seen[offset : offset + size])

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        self.answering.wait()
        self._grow(self.opened[handle], offset + len(data))
        self.opened[handle].change(offset, data)
        return len(data)

    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        node = self.opened[handle] if handle else self._node(path)
        self._grow(node, length)
        node.change(length, None)

    def fallocate(self, _path: str, _mode: int, offset: int, size: int, handle: int) -> None:
        node = self.opened[handle]
        self._grow(node, offset + size)
        node.change(max(len(node.seen), offset + size), None)

    def fsync(self, _path: str, _data_only: int, handle: int) -> None:
        self.answering.wait()
        node = self.opened[handle]
        if self.failing:
            node.changes.clear()
            raise OSError(errno.EIO, "the disk fails")
        node.sync()

    def fsyncdir(self, _path: str, _data_only: int, _handle: int) -> None:
        self.answering.wait()
        if self.failing:
            raise OSError(errno.EIO, "the disk fails")
        for changes in self.log:
            _name(self.durable_nodes, changes)
        self.log.clear()

    def chmod(self, path: str, mode: int) -> None:
        self._node(path).mode = mode

    def chown(self, _path: str, _user: int, _group: int) -> None: ...

    def utimens(self, _path: str, _times: tuple[int, int] | None = None) -> None: ...

    def _node(self, path: str) -> Node:
        self.answering.wait()
        if path not in self.nodes:
            raise OSError(errno.ENOENT, path)
        return self.nodes[path]

    def _change(self, names: list[tuple[str, Node | None]]) -> None:
        self.answering.wait()
        _name(self.nodes, names)
        self.log.append(names)

    def _grow(self, node: Node, size: int) -> None:
        if self.full and size > len(node.seen):
            raise OSError(errno.ENOSPC, "the disk is full")


def _name(nodes: dict[str, Node], changes: list[tuple[str, Node | None]]) -> None:
    for path, node in changes:
        if node is None:
            nodes.pop(path, None)
        else:
            nodes[path] = node


def serve(mount_point: str) -> None:
    """Mounts the disk until standard input ends."""
    disk = Disk()
    cuts: list[random.Random | None] = []
    ended = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            match line.split():
                case ["cut", seed]:
                    cuts.append(None if seed == "all" else random.Random(seed))
                    _unmount(mount_point)  # the main thread goes on, and mounts again
                case [("full" | "failing" | "hanging" | "well") as state]:
                    disk.full, disk.failing = state == "full", state == "failing"
                    if state == "hanging":
                        disk.answering.clear()
                    else:
                        disk.answering.set()
                    print(state, flush=True)
        ended.set()
        disk.answering.set()
        _unmount(mount_point)
        subprocess.run(["fusermount3", "-uz", mount_point], capture_output=True)  # somebody still holds a file: the disk goes all the same

    threading.Thread(target=listen, daemon=True).start()
    while not ended.is_set():
        FUSE(disk, mount_point, foreground=True, nothreads=True, use_ino=True)
        if cuts:
            disk.lose_power(cuts.pop())


def _unmount(mount_point: str) -> None:
    """Unmounts once nobody holds a file any more: who is killed lets go of its files a moment later."""
    deadline = time.monotonic() + UNMOUNT_SECONDS
    while subprocess.run(["fusermount3", "-u", mount_point], capture_output=True).returncode and time.monotonic() < deadline:
        time.sleep(0.005)


if __name__ == "__main__":
    serve(sys.argv[1])
