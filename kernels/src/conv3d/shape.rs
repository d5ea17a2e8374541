//! The shape of a convolution.

use crate::Stored;

/// The shape of a convolution over channels-last frames.
///
/// In time the input is `pad_front` frames of zeros, then the frames of `tail`, then those of `x`; in height and width
/// `pad` adds zeros around each frame. A kernel of one frame is a two-dimensional convolution of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3d {
    /// Frames of `x`.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Numbers per pixel of the input.
    pub in_channels: usize,
    /// Numbers per pixel of the output.
    pub out_channels: usize,
    /// The kernel's extent in time, height and width.
    pub kernel: [usize; 3],
    /// The steps in time, height and width.
    pub stride: [usize; 3],
    /// Frames of `tail`, which come before `x` in time.
    pub tail_frames: usize,
    /// Frames of zeros before the tail.
    pub pad_front: usize,
    /// Rows of zeros above and below, pixels of zeros left and right.
    pub pad: [usize; 4],
}

impl Conv3d {
    /// Frames, rows and pixels of a row of the output: none where the kernel is larger than the padded input.
    pub fn output(&self) -> [usize; 3] {
        let [top, bottom, left, right] = self.pad;
        let input =
            [self.pad_front + self.tail_frames + self.frames, top + self.height + bottom, left + self.width + right];
        std::array::from_fn(|i| input[i].checked_sub(self.kernel[i]).map_or(0, |room| room / self.stride[i] + 1))
    }

    /// Taps of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// What becomes of a convolution's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// They replace what was there.
    Nothing,
    /// They are added to it: a residual branch.
    Output,
}

/// The output's size, after a look at all slices' lengths.
pub(super) fn checked(s: &Conv3d, x: &[f32], tail: &[f32], w: Stored, bias: Option<&[f32]>, out: &[f32]) -> [usize; 3] {
    assert!(s.kernel.iter().chain(&s.stride).all(|&n| n > 0), "conv3d: an extent of zero in {s:?}");
    let frame = s.height * s.width * s.in_channels;
    let [frames, height, width] = s.output();
    assert_eq!(x.len(), s.frames * frame, "conv3d: x of {s:?}");
    assert_eq!(tail.len(), s.tail_frames * frame, "conv3d: tail of {s:?}");
    assert_eq!(w.len(), s.out_channels * s.in_channels * s.taps(), "conv3d: w of {s:?}");
    assert!(bias.is_none_or(|b| b.len() == s.out_channels), "conv3d: bias of {s:?}");
    assert_eq!(out.len(), frames * height * width * s.out_channels, "conv3d: out of {s:?}");
    [frames, height, width]
}
