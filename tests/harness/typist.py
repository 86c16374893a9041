"""A person at a terminal: what the program asks is read, answers are typed, keys that send signals are pressed.

Why here: what is asked on a terminal can only be tried on one.
Never here: expectations.
"""

import codecs
import fcntl
import os
import select
import subprocess
import termios
import time

SECONDS = 20


class Typist:
    """A command on a pseudo-terminal of its own, which is its controlling one."""

    def __init__(self, command, env=None, cwd=None):
        self.terminal, theirs = os.openpty()

        def own_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=own_terminal,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        os.close(theirs)
        self.text = ""
        self._read = 0
        # A character may come in two pieces.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def _more(self, seconds):
        """Takes what has been written; False at the end."""
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return True
        try:
            piece = os.read(self.terminal, 65_536)
        except OSError:
            # The last holder of the other side has gone.
            return False
        self.text += self._decoder.decode(piece)
        return bool(piece)

    def sees(self, words):
        """Waits for words that were not there at the last call; returns what came up to their end."""
        end = time.monotonic() + SECONDS
        while (at := self.text.find(words, self._read)) < 0:
            assert time.monotonic() < end, f"not seen: {words!r} after {self.text[self._read :]!r}"
            assert self._more(0.1), f"ended without {words!r}: {self.text[self._read :]!r}"
        before, self._read = self._read, at + len(words)
        return self.text[before : self._read]

    def types(self, text):
        os.write(self.terminal, text.encode())

    def answers(self, question, line):
        """Types a line when the question has been asked."""
        asked = self.sees(question) + self.sees("]: ")
        self.types(line + "\n")
        return asked

    def ends(self):
        """The exit code, after everything has been read."""
        end = time.monotonic() + SECONDS
        while self._more(0.1):
            if self.child.poll() is not None and not select.select([self.terminal], [], [], 0)[0]:
                break
            assert time.monotonic() < end, f"does not end: {self.text[-2000:]!r}"
        return self.child.wait(timeout=SECONDS)

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait(timeout=10)
        os.close(self.terminal)
