"""Writes tests/fixtures/sampler: noise, step grids and sampler trajectories as torch and diffusers 0.42.1 compute them.

Usage: python tools/reference/sampler_fixtures.py [FOLDER]

Every f32 is written as its shortest decimal that reads back to the same bits. The native and distilled grids, which
diffusers does not have, are computed here from their definitions; their trajectories are diffusers' solvers over them.
"""

import json
import sys
from pathlib import Path

import together  # noqa: F401

import diffusers
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

assert diffusers.__version__ == "0.42.1", diffusers.__version__
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests/fixtures/sampler")
SIZE = 64


def f32s(values):
    values = np.asarray(values)
    assert values.dtype == np.float32, values.dtype
    return [float(str(v)) for v in values]


def write(name, value):
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    (FOLDER / name).write_text(text.replace("},{", "},\n{") + "\n")
    print(name, len(text))


def randn(seed, size):
    return torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def noise():
    whole = [(seed, size) for seed in (0, 1, 42, 4294967291) for size in range(1, 41)]
    whole += [(seed, size) for seed in (2**32, 2**32 + 9, 2**63, 2**64 - 1) for size in (1, 2, 15, 16, 17, 40)]
    whole += [(3, 1000), (3, 1008)]
    cases = [{"seed": str(seed), "size": size, "every": 1, "values": f32s(randn(seed, size))} for seed, size in whole]
    # Of large tensors: every so many values, and the last 40.
    for seed, size in [(5, 4096), (5, 65537), (2**64 - 3, 1048575), (11, 3000001)]:
        values, every = randn(seed, size), size // 60
        cases.append({"seed": str(seed), "size": size, "every": every, "values": f32s(values[::every]),
                      "tail": f32s(values[-40:])})
    # The shape does not matter.
    shaped = torch.randn((1, 16, 3, 5, 7), generator=torch.Generator("cpu").manual_seed(8), dtype=torch.float32)
    cases.append({"seed": "8", "size": 1680, "every": 7, "values": f32s(shaped.flatten()[::7])})
    write("noise.json", cases)


def unipc(shift):
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def flow_euler(shift):
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def grid(schedule, steps, shift):
    """Sigmas and timesteps of a named schedule."""
    if schedule in ("unipc", "flow_euler"):
        scheduler = (unipc if schedule == "unipc" else flow_euler)(shift)
        scheduler.set_timesteps(steps)
        return scheduler.sigmas, scheduler.timesteps.to(torch.float32)
    # Wan's repository keeps its largest sigma, 1 - 1/1000, in single precision.
    first = float(np.float32(1 - 1 / 1000)) if schedule == "native" else 1.0
    sigmas = np.linspace(first, 0, steps + 1)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    timesteps = sigmas * 1000
    if schedule == "native":
        timesteps = timesteps.astype(np.int64)
    sigmas = np.concatenate([sigmas, [0]]).astype(np.float32)
    return torch.from_numpy(sigmas), torch.from_numpy(timesteps.astype(np.float32))


def grids():
    cases = []
    for schedule in ("unipc", "flow_euler", "native", "distilled"):
        for steps in (1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 20, 25, 30, 40, 50):
            for shift in (1.0, 3.0, 5.0, 16.0) if steps < 11 else (3.0, 7.3):
                sigmas, timesteps = grid(schedule, steps, shift)
                cases.append({"schedule": schedule, "steps": steps, "shift": shift,
                              "sigmas": f32s(sigmas), "timesteps": f32s(timesteps)})
    for steps, shift in [(1000, 3.0), (999, 1.0), (333, 0.5)]:
        for schedule in ("unipc", "flow_euler"):
            sigmas, timesteps = grid(schedule, steps, shift)
            pick = np.arange(0, steps, 41)
            cases.append({"schedule": schedule, "steps": steps, "shift": shift, "every": 41,
                          "sigmas": f32s(sigmas[pick]), "timesteps": f32s(timesteps[pick])})
    write("grids.json", cases)


def solver(name, sigmas, timesteps):
    """A diffusers solver over any grid: it is told the sigmas, which its own set_timesteps would shift."""
    scheduler = unipc(1.0) if name == "unipc" else flow_euler(1.0)
    scheduler.set_timesteps(len(timesteps))
    sigmas = sigmas.clone()
    if name == "unipc" and abs(float(sigmas[0]) - 1) < 1e-6:
        sigmas[0] = float(sigmas[0]) - 1e-6
    scheduler.sigmas, scheduler.timesteps = sigmas, timesteps
    scheduler.set_begin_index(0)
    return scheduler


def trajectories():
    """Runs with velocity (x - c) + (t/1000 x) c, which both sides round alike."""
    generator = torch.Generator("cpu").manual_seed(20)
    centre = torch.randn(SIZE, generator=generator)
    start = torch.randn(SIZE, generator=generator)
    cases = []
    plans = [(schedule, steps, shift) for schedule, shift in
             [("unipc", 3.0), ("unipc", 5.0), ("flow_euler", 3.0), ("native", 5.0), ("distilled", 5.0)]
             for steps in (1, 2, 3, 4, 7, 20, 50)]
    for name in ("unipc", "euler"):
        for schedule, steps, shift in plans + [("custom", 0, 0.0)]:
            if schedule == "custom":
                # No two of them close: UniPC divides by the gap, and in f32 that costs diffusers its last digits too.
                given = [0.95, 0.9, 0.7, 0.5, 0.25, 0.02]
                sigmas = torch.tensor(given + [0.0])
                timesteps = (torch.tensor(given, dtype=torch.float64) * 1000).float()
            else:
                sigmas, timesteps = grid(schedule, steps, shift)
            run, x = solver(name, sigmas, timesteps), start.clone()
            for i, t in enumerate(timesteps):
                velocity = (x - centre) + (t / 1000 * x) * centre
                x = run.step(velocity[None, None], run.timesteps[i], x[None, None], return_dict=False)[0][0, 0]
            cases.append({"sampler": name, "schedule": schedule, "steps": len(timesteps), "shift": shift,
                          "latent": f32s(x)})

    # Seven steps whose velocities are data: the answers of a small random network along the run.
    weight, bias = torch.randn(SIZE, SIZE, generator=generator) / 8, torch.randn(SIZE, generator=generator)
    recorded = []
    for name in ("unipc", "euler"):
        sigmas, timesteps = grid("unipc", 7, 3.0)
        run, x, rows = solver(name, sigmas, timesteps), start.clone(), []
        for i, t in enumerate(timesteps):
            velocity = torch.tanh(weight @ x + t / 1000 * bias) * 2
            x = run.step(velocity[None, None], run.timesteps[i], x[None, None], return_dict=False)[0][0, 0]
            rows.append({"velocity": f32s(velocity), "latent": f32s(x)})
        recorded.append({"sampler": name, "steps": rows})

    # Guidance as the Wan pipeline combines its two answers.
    cond, uncond = torch.randn(SIZE, generator=generator), torch.randn(SIZE, generator=generator)
    guided = uncond + 5.3 * (cond - uncond)
    write("trajectories.json", {"centre": f32s(centre), "start": f32s(start), "runs": cases, "recorded": recorded,
                                "guidance": {"scale": 5.3, "cond": f32s(cond), "uncond": f32s(uncond),
                                             "guided": f32s(guided)}})


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    noise()
    grids()
    trajectories()
