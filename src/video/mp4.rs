//! H.264 in MP4, encoded by OpenH264.

use std::num::NonZeroU32;

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder as H264, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
    VuiConfig,
};
use openh264::formats::YUVSlices;
use shiguredo_mp4::boxes::{Avc1Box, AvccBox, MoovBox, SampleEntry, UnknownBox, VisualSampleEntryFields};
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size};
use shiguredo_mp4::{BoxSize, BoxType, Encode, Mp4FileTime, TrackKind, Uint};

use super::colour::{BT709, Yuv420};
use super::file::{Encoder, FileSink};
use super::{Frame, VideoInfo};
use crate::error::{Error, Result};
use crate::video::output::Output;

/// The quantiser of every frame. At 16, luma is some 45 dB from the original, noise included: no eye sees the difference,
/// and film-like clips take a few Mbit/s.
const QP: u8 = 16;
/// OpenH264's limits.
const MIN_EDGE: usize = 16;
const MAX_LONG_EDGE: usize = 3840;
const MAX_SHORT_EDGE: usize = 2160;
/// Some players dislike coarse clocks.
const MIN_TIMESCALE: u32 = 10_000;

/// A sink that writes one mp4 with H.264 (Constrained Baseline, 4:2:0, BT.709 in the limited range), which every browser
/// and phone plays.
///
/// The quantiser is constant, so that quality is and size is not: luma is 40 dB or better from the frames, noise included.
/// The bytes depend on nothing but the frames. A key frame comes every two seconds at the latest. Chroma samples sit on
/// the left pixel of each pair (type 0 of H.264, what players assume). A comment is kept where FFmpeg and others show it
/// as `comment`. The index comes before the pictures. Sizes are even, 16 pixels to 3840x2160 or 2160x3840.
pub type Mp4 = FileSink<Mp4Encoder>;

/// Writes mp4.
#[derive(Default)]
pub struct Mp4Encoder {
    comment: Option<String>,
    running: Option<Running>,
    yuv: Yuv420,
}

struct Running {
    h264: H264,
    muxer: Mp4FileMuxer,
    /// Where the next picture goes.
    end: u64,
    first: bool,
    timescale: NonZeroU32,
    /// Of one frame, in the timescale.
    duration: u32,
}

impl Encoder for Mp4Encoder {
    const REWRITES: bool = true;

    fn check(&self, info: &VideoInfo) -> Result<()> {
        let (width, height) = (info.width, info.height);
        let even = |edge: usize| edge.next_multiple_of(2).max(MIN_EDGE);
        if width % 2 != 0 || height % 2 != 0 || width.min(height) < MIN_EDGE {
            let nearest = format!("{}x{}", even(width), even(height));
            let why =
                format!("{width}x{height} in H.264: edges are even, {MIN_EDGE} at least; the nearest is {nearest}");
            return Err(Error::Request { what: "size", why });
        }
        if width.max(height) > MAX_LONG_EDGE || width.min(height) > MAX_SHORT_EDGE {
            let why = format!(
                "{width}x{height} in H.264: the most is {MAX_LONG_EDGE}x{MAX_SHORT_EDGE} or \
                 {MAX_SHORT_EDGE}x{MAX_LONG_EDGE}; choose a smaller size or another format"
            );
            return Err(Error::Request { what: "size", why });
        }
        if clock(info.fps).is_none() {
            let why = format!("{} in an mp4, whose clock has 32 bits; choose a simpler fraction", info.fps);
            return Err(Error::Request { what: "fps", why });
        }
        if u32::try_from(info.frames).is_err() {
            return Err(Error::Request { what: "frames", why: format!("an mp4 has at most {}", u32::MAX) });
        }
        Ok(())
    }

    fn start(&mut self, info: &VideoInfo, comment: Option<&str>, out: &mut Output) -> Result<()> {
        self.comment = comment.map(str::to_owned);
        let (timescale, duration) = clock(info.fps).ok_or_else(|| out.cannot_encode("the frame rate is too fine"))?;
        let h264 = H264::with_api_config(OpenH264API::from_source(), config(info)).map_err(|e| out.cannot_encode(e))?;
        let reserved_moov_box_size =
            estimate_maximum_moov_box_size(&[info.frames]) + user_data(self.comment.as_deref()).len();
        let options = Mp4FileMuxerOptions { reserved_moov_box_size, ..Mp4FileMuxerOptions::default() };
        let muxer = Mp4FileMuxer::with_options(options).map_err(|error| out.cannot_encode(error))?;
        let head = muxer.initial_boxes_bytes();
        out.write(head)?;
        let end = head.len() as u64;
        self.running = Some(Running { h264, muxer, end, first: true, timescale, duration });
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, out: &mut Output) -> Result<()> {
        let Running { h264, muxer, end, first, timescale, duration } =
            self.running.as_mut().expect("start comes before frame");
        let (width, height) = (frame.width, frame.height);
        self.yuv.convert(BT709, width, height, &frame.rgb);
        let planes = (&*self.yuv.y, &*self.yuv.cb, &*self.yuv.cr);
        let source = YUVSlices::new(planes, (width, height), (width, width / 2, width / 2));
        let encoded = h264.encode(&source).map_err(|error| out.cannot_encode(error))?;
        let keyframe = match encoded.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P => false,
            other => return Err(out.cannot_encode(format!("OpenH264 made a frame of the type {other:?}"))),
        };
        let mut picture = Vec::new();
        let (mut sps_list, mut pps_list) = (Vec::new(), Vec::new());
        for layer in (0..encoded.num_layers()).filter_map(|i| encoded.layer(i)) {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                let unit = without_start_code(unit);
                match unit.first().map(|head| head & 31) {
                    // Parameter sets are told once, before the pictures.
                    Some(7) => sps_list.push(unit.to_vec()),
                    Some(8) => pps_list.push(unit.to_vec()),
                    _ => {
                        picture.extend((unit.len() as u32).to_be_bytes());
                        picture.extend(unit);
                    }
                }
            }
        }
        let sample_entry = if *first { Some(sample_entry(frame, sps_list, pps_list)) } else { None };
        *first = false;
        out.write(&picture)?;
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry: sample_entry.flatten(),
            keyframe,
            timescale: *timescale,
            duration: *duration,
            composition_time_offset: None,
            data_offset: *end,
            data_size: picture.len(),
        };
        *end += picture.len() as u64;
        muxer.append_sample(&sample).map_err(|error| out.cannot_encode(error))
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let Running { mut muxer, .. } = self.running.take().expect("start comes before finish");
        let boxes = muxer.finalize().map_err(|error| out.cannot_encode(error))?;
        let mut moov = boxes.moov_box().clone();
        complete(&mut moov, self.comment.as_deref());
        let moov = moov.encode_to_vec().map_err(|error| out.cannot_encode(error))?;
        let mut moov = Some(moov);
        for (offset, bytes) in boxes.offset_and_bytes_pairs() {
            if offset == 0 {
                // The file type, then what was reserved for the index.
                let file_type = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
                let room = bytes.len() - file_type;
                let moov = moov.take().filter(|moov| moov.len() + 8 <= room);
                let moov = moov.ok_or_else(|| out.cannot_encode("the index is larger than was reserved for it"))?;
                let mut head = bytes[..file_type].to_vec();
                head.extend(&moov);
                head.extend(mp4_box(b"free", &[&vec![0; room - moov.len() - 8]]));
                out.rewrite(0, &head)?;
            } else if bytes.len() <= 16 {
                out.rewrite(offset, bytes)?;
            }
        }
        Ok(())
    }
}

/// Ticks per second and ticks per frame, exactly; `None` if they do not fit into 32 bits.
fn clock(fps: super::FrameRate) -> Option<(NonZeroU32, u32)> {
    let ticks = MIN_TIMESCALE.div_ceil(fps.numerator().max(1));
    let timescale = fps.numerator().checked_mul(ticks).and_then(NonZeroU32::new)?;
    Some((timescale, fps.denominator().checked_mul(ticks)?))
}

fn config(info: &VideoInfo) -> EncoderConfig {
    let rate = info.fps.as_f64();
    // Only the level follows from this, which tells players how fast they must be: more than most clips take.
    let bitrate = (info.width * info.height) as f64 * rate.min(60.0) * 2.5;
    EncoderConfig::new()
        // This mode holds the quantiser within the range, which is one value; it drops no frame, and is the only such one
        // in which OpenH264 does not print a warning.
        .rate_control_mode(RateControlMode::Bufferbased)
        .qp(QpRange::new(QP, QP))
        .skip_frames(false)
        .background_detection(false)
        .bitrate(BitRate::from_bps(bitrate.clamp(100_000.0, 200e6) as u32))
        .max_frame_rate(FrameRate::from_hz(rate as f32))
        .intra_frame_period(IntraFramePeriod::from_num_frames((2.0 * rate).round().clamp(1.0, 1000.0) as u32))
        .vui(VuiConfig::bt709())
        // More would make other bytes.
        .num_threads(1)
}

/// An NAL unit of a byte stream, bare.
fn without_start_code(unit: &[u8]) -> &[u8] {
    unit.strip_prefix(&[0, 0, 0, 1]).or_else(|| unit.strip_prefix(&[0, 0, 1])).unwrap_or(unit)
}

/// What a decoder must know before the first picture; none if the encoder did not tell.
fn sample_entry(frame: &Frame, sps_list: Vec<Vec<u8>>, pps_list: Vec<Vec<u8>>) -> Option<SampleEntry> {
    let &[_, profile, compatibility, level, ..] = sps_list.first()?.as_slice() else { return None };
    let avcc_box = AvccBox {
        avc_profile_indication: profile,
        profile_compatibility: compatibility,
        avc_level_indication: level,
        // Lengths of four bytes.
        length_size_minus_one: Uint::new(3),
        sps_list,
        pps_list,
        chroma_format: None,
        bit_depth_luma_minus8: None,
        bit_depth_chroma_minus8: None,
        sps_ext_list: Vec::new(),
    };
    let visual = VisualSampleEntryFields {
        data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        width: frame.width as u16,
        height: frame.height as u16,
        horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
        vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
        frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
        compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
        depth: VisualSampleEntryFields::DEFAULT_DEPTH,
    };
    // BT.709 thrice, for primaries, transfer and matrix; the limited range.
    let colour = unknown(b"colr", b"nclx\0\x01\0\x01\0\x01\0".to_vec());
    Some(SampleEntry::Avc1(Avc1Box { visual, avcc_box, unknown_boxes: vec![colour] }))
}

/// Takes the times of making out of the index, which would be those of 1970, and puts the comment in.
fn complete(moov: &mut MoovBox, comment: Option<&str>) {
    let never = Mp4FileTime::from_secs(0);
    (moov.mvhd_box.creation_time, moov.mvhd_box.modification_time) = (never, never);
    for trak in &mut moov.trak_boxes {
        (trak.tkhd_box.creation_time, trak.tkhd_box.modification_time) = (never, never);
        let mdhd = &mut trak.mdia_box.mdhd_box;
        (mdhd.creation_time, mdhd.modification_time) = (never, never);
    }
    let user_data = user_data(comment);
    if !user_data.is_empty() {
        moov.unknown_boxes.push(unknown(b"udta", user_data));
    }
}

/// The comment as iTunes and FFmpeg keep it, in udta: meta > ilst > ©cmt > data.
fn user_data(comment: Option<&str>) -> Vec<u8> {
    let Some(comment) = comment else { return Vec::new() };
    // Version and flags; then 4 bytes of zeros, `mdir`, `appl`, 8 bytes of zeros, an empty name.
    let handler = mp4_box(b"hdlr", &[b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0"]);
    // Type 1 is UTF-8; no country and language.
    let data = mp4_box(b"data", &[b"\0\0\0\x01\0\0\0\0", comment.as_bytes()]);
    let list = mp4_box(b"ilst", &[&mp4_box(b"\xa9cmt", &[&data])]);
    mp4_box(b"meta", &[b"\0\0\0\0", &handler, &list])
}

fn mp4_box(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let size = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = (size as u32).to_be_bytes().to_vec();
    bytes.extend(kind);
    parts.iter().for_each(|part| bytes.extend(*part));
    bytes
}

fn unknown(kind: &[u8; 4], payload: Vec<u8>) -> UnknownBox {
    let box_type = BoxType::Normal(*kind);
    UnknownBox { box_type, box_size: BoxSize::with_payload_size(box_type, payload.len() as u64), payload }
}
