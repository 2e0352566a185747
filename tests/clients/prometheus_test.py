"""The figures of hubs, read by Prometheus's own parser and checks."""

import os
import subprocess
import unittest

DEADLINE = 60


class PrometheusTest(unittest.TestCase):
    def check(self, which):
        """What promtool says about the text, and its exit status: 0 without errors and remarks."""
        program = os.path.join(os.environ["PUSHHUB_BIN_DIR"], "metrics_text")
        text = subprocess.run(
            [program, which], check=True, stdout=subprocess.PIPE, timeout=DEADLINE
        ).stdout
        self.assertIn(b"pushhub_sessions", text)
        result = subprocess.run(
            [os.environ["PUSHHUB_PROMTOOL"], "check", "metrics"],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
        )
        return result.returncode, result.stdout.decode()

    def test_one_hub(self):
        self.assertEqual(self.check("one"), (0, ""))

    def test_labels_with_escapes(self):
        self.assertEqual(self.check("labelled"), (0, ""))

    def test_several_hubs(self):
        self.assertEqual(self.check("several"), (0, ""))

    def test_texts_put_behind_each_other_are_refused(self):
        status, output = self.check("concatenated")
        self.assertNotEqual(status, 0)
        self.assertIn("second HELP line", output)


if __name__ == "__main__":
    unittest.main()
