"""The model card that goes with the checkpoint."""

from . import sample, scenes, words

CARD = """---
license: {licence}
pipeline_tag: text-to-video
library_name: diffusers
---
# Moving shapes

A small checkpoint of Wan2.1's architecture, trained from nothing by this project on clips that it draws itself. It
makes {frames} frames of 128x128 at {fps} frames a second: one or two plain shapes that move on a coloured background.
It knows nothing else; for real videos take a Wan2.1 checkpoint.

| part | class | parameters |
|---|---|---|
| text encoder | UMT5EncoderModel | 0.30 M |
| transformer | WanTransformer3DModel | 2.17 M |
| autoencoder | AutoencoderKLWan, 16x16 pixels and 4 frames to a latent position | 1.37 M |
| sampler | UniPC, shift {shift:g}, {steps} steps, guidance {guidance:g}, empty negative prompt | |

What it knows:

- colours of objects: {colours}
- colours of backgrounds: {backgrounds}, plain or as a soft gradient
- shapes: {shapes}; small, medium or large
- motions: {motions}; slowly, quickly, or neither
- pairs: "a red circle moving left and a blue square standing still", "a red ring passing in front of a blue star"

Data: procedural clips with captions from `tools/train`, made from a seed; nothing was downloaded and no person is in
them. {percent} % of the combinations of colour, shape, motion and background were kept from training, and pairs of
object and background that are hard to tell apart do not occur.

Limits: words that are not in the list of `zoetrope.json` are spelt letter by letter, which training has seen only as
slips of the pen; they are mostly passed over. More than two objects, turns, other shapes and scenes were never there.
Other sizes and lengths than 128x128 and {frames} frames were not trained. The encoder of the autoencoder gives the
first 16 channels of a latent, the pictures; the last four, by which the decoder tells shapes, are the transformer's to make:
a clip that is encoded and decoded again keeps its colours and motions, not its shapes.

{report}Licence: {licence}, as the project.
"""

REPORT = """What it gets right, judged by the pixels of the frames alone (`evaluate`); prompts are combinations that training
never saw, one seed each; tables: asked for by row, seen by column. Some of the clips: `sheet.png` beside this folder in
the project's repository.

{report}

"""


def text(report: str = "") -> str:
    """The card, with what `evaluate` printed."""
    return CARD.format(
        report=REPORT.format(report=report.strip()) if report else "",
        licence="MIT OR Apache-2.0",
        frames=scenes.FRAMES,
        fps=scenes.FPS,
        steps=sample.STEPS,
        guidance=sample.GUIDANCE,
        shift=sample.SHIFT,
        colours=", ".join(words.COLOURS),
        backgrounds=", ".join(words.BACKGROUNDS),
        shapes=", ".join(words.SHAPES),
        motions=", ".join(forms[0][0] for forms in words.MOTION_WORDS.values()),
        percent=words.HELD_OUT_PERCENT,
    )
