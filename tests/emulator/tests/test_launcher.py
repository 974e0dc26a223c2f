"""The launcher itself: it ends with its command's code, and a moto that does not fit ends the start."""

import subprocess
import sys
import unittest

from emulator.patching import Gone, adds, replaces


class Patching(unittest.TestCase):
    def test_a_part_that_is_gone_is_named(self):
        class Moto:
            def there(self):
                return 1

        with self.assertRaises(Gone) as error:
            replaces(Moto, "gone")
        self.assertIn("has no gone", str(error.exception))
        with self.assertRaises(Gone):
            adds(Moto, "there")
        replaces(Moto, "there")(lambda before: lambda self: before(self) + 1)
        self.assertEqual(Moto().there(), 2)


class Launcher(unittest.TestCase):
    def run_one(self, *command):
        return subprocess.run([sys.executable, "-m", "emulator", "--", *command], capture_output=True, text=True,
                              timeout=120, check=False)

    def test_the_commands_code_is_the_launchers(self):
        self.assertEqual(self.run_one("sh", "-c", "exit 7").returncode, 7)
        done = self.run_one("sh", "-c", "echo at $FRESHET_TEST_AWS")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^at http://127\.0\.0\.1:\d+\n$")
