"""The step grids and samplers that diffusers' pipeline does not offer by itself, put under its hood for comparison."""

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler


def shifted(sigma, shift):
    return shift * sigma / (1 + (shift - 1) * sigma)


def native(steps, shift):
    """Wan's own grid: sigmas from 0.999 (held in f32) down, timesteps cut to whole numbers: (sigmas, timesteps)."""
    sigmas = shifted(np.linspace(float(np.float32(1 - 1 / 1000)), 0.0, steps + 1)[:-1], shift)
    return sigmas, (sigmas * 1000).astype(np.int64)


def distilled(steps, shift):
    """The grid of step-distilled models: sigmas from 1 down, timesteps not rounded: (sigmas, timesteps)."""
    sigmas = shifted(np.linspace(1.0, 0.0, steps + 1)[:-1], shift)
    return sigmas, 1000 * sigmas


def with_grid(scheduler, grid, shift, unipc):
    """The scheduler with sigmas and timesteps replaced each time its steps are set.

    UniPC takes logarithms of 1 - sigma: for it a first sigma of 1 is moved down by 1e-6, as diffusers does.
    """
    original = scheduler.set_timesteps

    def set_timesteps(num_inference_steps, device=None, **_more):
        original(num_inference_steps, device=device)
        sigmas, timesteps = grid(num_inference_steps, shift)
        if unipc and abs(sigmas[0] - 1) < 1e-6:
            sigmas[0] -= 1e-6
        scheduler.sigmas = torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32))
        integers = timesteps.dtype == np.int64
        scheduler.timesteps = torch.from_numpy(timesteps if integers else timesteps.astype(np.float32))

    scheduler.set_timesteps = set_timesteps
    return scheduler


class Euler:
    """x + (next sigma - sigma) * velocity on the grid of another scheduler, in the face the pipeline expects."""

    order = 1

    def __init__(self, grid_of):
        self.grid_of, self.config, self.step_index = grid_of, grid_of.config, 0

    def set_timesteps(self, num_inference_steps, device=None):
        self.grid_of.set_timesteps(num_inference_steps, device=device)
        self.sigmas, self.timesteps, self.step_index = self.grid_of.sigmas, self.grid_of.timesteps, 0

    def set_begin_index(self, index):
        self.step_index = index

    def step(self, velocity, _timestep, sample, return_dict=False):
        change = self.sigmas[self.step_index + 1] - self.sigmas[self.step_index]
        self.step_index += 1
        return (sample + change * velocity,)


def choose(pipe, sampler, schedule, shift):
    """Sets the pipeline's scheduler for a sampler, a named grid and a shift; None keeps the folder's."""
    own = pipe.scheduler
    flow_match = isinstance(own, FlowMatchEulerDiscreteScheduler)
    if not flow_match and not isinstance(own, UniPCMultistepScheduler):
        raise SystemExit(f"{type(own).__name__} is not compared")
    sampler = sampler or ("euler" if flow_match else "unipc")
    shift = shift if shift is not None else own.config["shift" if flow_match else "flow_shift"]
    if schedule == "diffusers" and flow_match:
        if sampler != "euler":
            raise SystemExit("a folder that names FlowMatchEulerDiscreteScheduler is compared with euler on its own grid")
        pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(own.config, shift=shift)
        return
    flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler = UniPCMultistepScheduler(**flow) if flow_match else UniPCMultistepScheduler.from_config(own.config, **flow)
    if schedule != "diffusers":
        scheduler = with_grid(scheduler, {"native": native, "distilled": distilled}[schedule], shift, sampler == "unipc")
    pipe.scheduler = Euler(scheduler) if sampler == "euler" else scheduler
