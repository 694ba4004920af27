"""Kill a training process with SIGKILL at random moments, resume it each time, and compare with a run that was left alone.

    python -m bench.interruptions [--kills 20] [--seed 0]

The run is tests/nn/training/run_to_kill.py: shuffled batches from two worker threads, noise in the samples, dropout, AdamW with
a schedule, accumulation, early stopping, a checkpoint after every third step and every epoch.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nn

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "nn" / "training" / "run_to_kill.py"
EPOCHS = "80"


def newest(folder: Path) -> str:
    """The name of the newest checkpoint in a folder, "" without any."""
    return max((file.name for file in folder.glob("step-*.safetensors")), default="")


def run(folder: Path, checkpoints: int | None = None, seconds: float = 0.0) -> bool:
    """Run the script to its end, or until some seconds after so many checkpoints; whether it came to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), str(folder), EPOCHS, EPOCHS]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        last = newest(folder)
        while checkpoints and process.poll() is None:
            if newest(folder) != last:
                last = newest(folder)
                checkpoints -= 1
            time.sleep(0.001)
        if checkpoints is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        return process.wait() == 0


def leaves(value: object, path: str = "") -> dict[str, object]:
    """All numbers and tensors of a state by their paths, tensors as bytes."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in items for k, v in leaves(item, f"{path}.{key}").items()}
    return {path: value.numpy().tobytes() if hasattr(value, "numpy") else value}  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        run(whole)
        expected = leaves(nn.load(whole / "result.safetensors"))
        done = 0
        while done < arguments.kills and not run(killed, generator.randint(0, 8), generator.uniform(0.0, 0.05)):
            done += 1
            print(f"killed {done:3}: newest checkpoint {newest(killed) or 'none'}", flush=True)
        run(killed)
        found = leaves(nn.load(killed / "result.safetensors"))
    same = found == expected
    print(f"{done} kills; {len(expected)} tensors and numbers {'equal, bit for bit' if same else 'DIFFER'}")
    raise SystemExit(0 if same and done == arguments.kills else 1)


if __name__ == "__main__":
    main()
