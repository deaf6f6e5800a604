# SPDX-License-Identifier: Apache-2.0
"""A program in a pseudo-terminal, and the screen that a person would see: just enough of a VT100."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SEQUENCE = re.compile(rb"\x1b(?:\[([?0-9;]*)([A-Za-z@])|[()][0-9A-B]|([78=>cDEHM]))")


class Screen:
    def __init__(self, rows, columns):
        self.resize(rows, columns)
        self.unknown = []

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.top, self.bottom = 0, rows - 1  # the lines that scroll
        self.saved = 0, 0

    def text(self):
        return [("".join(line)).rstrip() for line in self.lines]

    def feed(self, data):
        """Returns the bytes that are left: the beginning of a sequence."""
        while data:
            if data[0] == 0x1B:
                match = SEQUENCE.match(data)
                if not match:
                    if len(data) < 16:
                        return data
                    self.unknown.append(data[:16])
                    data = data[1:]
                    continue
                self._do(match)
                data = data[match.end() :]
                continue
            self._put(data[0])
            data = data[1:]
        return b""

    def _put(self, byte):
        if byte == 0x0D:
            self.column = 0
        elif byte == 0x0A:
            self._move_down()
        elif byte == 0x08:
            self.column = max(self.column - 1, 0)
        elif byte in (0x00, 0x07, 0x0E, 0x0F):
            pass
        elif byte < 0x20 or byte > 0x7E:
            self.unknown.append(bytes([byte]))
        else:
            if self.column >= self.columns:
                self.column = 0
                self._move_down()
            self.lines[self.row][self.column] = chr(byte)
            self.column += 1

    def _move_down(self):
        if self.row == self.bottom:
            del self.lines[self.top]
            self.lines.insert(self.bottom, [" "] * self.columns)
        else:
            self.row = min(self.row + 1, self.rows - 1)

    def _move_up(self):
        if self.row == self.top:
            del self.lines[self.bottom]
            self.lines.insert(self.top, [" "] * self.columns)
        else:
            self.row = max(self.row - 1, 0)

    def _do(self, match):
        arguments, what = match[1], match[2]
        if match[3] == b"M":
            self._move_up()
        elif match[3] == b"D":
            self._move_down()
        elif match[3] == b"7":
            self.saved = self.row, self.column
        elif match[3] == b"8":
            self.row, self.column = self.saved
        if what is None or arguments.startswith(b"?"):
            return
        numbers = [int(n) if n else 0 for n in arguments.split(b";")]
        first = numbers[0] or 1
        if what in b"Hf":
            self.row = min(first, self.rows) - 1
            self.column = min((numbers[1] if len(numbers) > 1 else 1) or 1, self.columns) - 1
        elif what == b"A":
            self.row = max(self.row - first, 0)
        elif what == b"B":
            self.row = min(self.row + first, self.rows - 1)
        elif what == b"C":
            self.column = min(self.column + first, self.columns - 1)
        elif what == b"D":
            self.column = max(self.column - first, 0)
        elif what == b"K":
            begin, end = [(self.column, self.columns), (0, self.column + 1), (0, self.columns)][
                numbers[0]
            ]
            self.lines[self.row][begin:end] = [" "] * (min(end, self.columns) - begin)
        elif what == b"J":
            if numbers[0] == 0:
                self.lines[self.row][self.column :] = [" "] * (self.columns - self.column)
            first_line = self.row + 1 if numbers[0] == 0 else 0
            for i in range(first_line, self.rows):
                self.lines[i] = [" "] * self.columns
        elif what == b"r":
            last = numbers[1] if len(numbers) > 1 else 0
            self.top, self.bottom = first - 1, (last or self.rows) - 1
            self.row = self.column = 0
        elif what not in (b"m", b"l", b"h"):
            self.unknown.append(match[0])


class Terminal:
    """A terminal in which command runs until close."""

    def __init__(self, command, rows=24, columns=132):
        self.screen = Screen(rows, columns)
        self.raw = b""
        self.rest = b""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "vt100"
            os.execv(command[0], [os.fspath(word) for word in command])
        self._set_size()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def _set_size(self):
        size = struct.pack("HHHH", self.screen.rows, self.screen.columns, 0, 0)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def resize(self, rows, columns):
        self.read(0.1)
        self.screen.resize(rows, columns)
        self._set_size()

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def read(self, timeout):
        """Reads what comes within that time. Returns False if the other end is closed."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            try:
                data = os.read(self.fd, 65536)
            except OSError as error:
                assert error.errno == errno.EIO
                return False
            if not data:
                return False
            self.raw += data
            self.rest = self.screen.feed(self.rest + data)
        return True

    def wait_screen(self, condition, what, timeout=15.0):
        """Reads until condition(lines) is true, and returns that."""
        end = time.monotonic() + timeout
        while True:
            value = condition(self.screen.text())
            if value:
                return value
            seen = "\n".join(self.screen.text())
            assert time.monotonic() < end, f"waited in vain for {what}; on the screen:\n{seen}"
            self.read(0.05)

    def wait_end(self, timeout=15.0):
        end = time.monotonic() + timeout
        while self.status is None:
            assert time.monotonic() < end, "it does not end"
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        self.read(0.1)
        return self.status
