#!/usr/bin/env bash
# Plays what the engine writes where it will be played: in headless Chromium, held against the PNG frames, and in FFmpeg,
# which must not have a single warning and find luma within 40 dB. Once for a run of the binary, whose untrained checkpoint
# makes pictures like noise, and once for a clip that looks like film.
#
# The players come from the system's packages; where these cannot be had (no network, no apt) this says so and passes, or
# fails if ZOETROPE_NEED_PLAYERS is set. A player that is there and does not play is always a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v ffmpeg >/dev/null || missing+=(ffmpeg)
command -v python3 >/dev/null || missing+=(python3)
if [ ${#missing[@]} -gt 0 ]; then
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
        echo "##### NOT CHECKED: ${missing[*]} cannot be installed here, no video was played #####"
        [ -z "${ZOETROPE_NEED_PLAYERS:-}" ]
        exit
    fi
fi

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

# FFmpeg reads it without a word, and finds this many frames.
quiet() { # FILE FRAMES
    local said frames
    said=$(ffmpeg -nostdin -v warning -i "$1" -f null - 2>&1) || true
    if [ -n "$said" ]; then
        printf '%s: FFmpeg says:\n%s\n' "$1" "$said" >&2
        return 1
    fi
    frames=$(ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0 "$1")
    if [ "$frames" != "$2" ]; then
        echo "$1: FFmpeg reads $frames frames, there are $2" >&2
        return 1
    fi
}

# Luma of every frame is within 40 dB of the PNG of the same number.
faithful() { # FILE FRAMES_FOLDER FPS
    local stats=$here/psnr worst
    ffmpeg -nostdin -v error -i "$1" -framerate "$3" -i "$2/frame_%05d.png" -lavfi "
        [0:v]settb=1/$3,setpts=N[video];
        [1:v]scale=out_color_matrix=bt709:out_range=limited,format=yuv420p,settb=1/$3,setpts=N[frames];
        [video][frames]psnr=stats_file=$stats" -f null -
    worst=$(grep -o 'psnr_y:[^ ]*' "$stats" | cut -d : -f 2 | sort -g | head -n 1)
    echo "$1: $(wc -l <"$stats") frames, luma $worst dB at worst"
    awk "BEGIN { exit !($worst >= 40) }"
}

# The binary's own output.
run=(target/debug/generate --quiet -m tests/fixtures/checkpoints/b --size 80x48 --frames 17 -t 4 -s 7 "two boats on a lake")
cargo build --locked --quiet --bin generate
"${run[@]}" -o "$here/run.mp4" >/dev/null
"${run[@]}" -o "$here/run/" >/dev/null

# A clip that looks like film, in every format.
mkdir "$here/clips"
ZOETROPE_CLIPS=$here/clips cargo test --locked --quiet --test video -- --ignored --exact play_clips::clips_for_players >/dev/null

for video in "$here"/run.mp4; do
    quiet "$video" 17
    faithful "$video" "$here/run" 16
    python3 tools/reference/play.py "$video" "$here/run" --fps 16
done
for video in "$here"/clips/clip.*; do
    quiet "$video" 33
done
faithful "$here/clips/clip.mp4" "$here/clips/frames" 16
python3 tools/reference/play.py "$here/clips/clip.mp4" "$here/clips/frames" --fps 16

# FFmpeg shows the recipe of a run.
ffprobe -v error -show_entries format_tags=comment -of default=noprint_wrappers=1:nokey=1 "$here/run.mp4" |
    python3 -c 'import json, sys; recipe = json.load(sys.stdin); assert (recipe["prompt"], recipe["seed"]) == ("two boats on a lake", 7), recipe'

# What was kept in the mp4 is what FFmpeg shows, and the picture is tagged as what it is.
ffprobe -v error -show_entries format_tags=comment -of default=noprint_wrappers=1:nokey=1 "$here/clips/clip.mp4" >"$here/shown"
{ cat "$here/clips/comment.txt"; echo; } | cmp - "$here/shown"
tags=$(ffprobe -v error -show_entries stream=codec_name,width,height,pix_fmt,color_range,color_space,r_frame_rate -of csv=p=0 "$here/clips/clip.mp4")
[ "$tags" = h264,416,240,yuv420p,tv,bt709,16/1 ] || { echo "clip.mp4 is tagged as $tags" >&2; exit 1; }

# The checks themselves: two frames that changed places are noticed.
mv "$here/clips/frames/frame_00005.png" "$here/aside.png"
mv "$here/clips/frames/frame_00020.png" "$here/clips/frames/frame_00005.png"
mv "$here/aside.png" "$here/clips/frames/frame_00020.png"
if faithful "$here/clips/clip.mp4" "$here/clips/frames" 16 >/dev/null; then
    echo "frames that changed places pass for faithful" >&2
    exit 1
fi
if python3 tools/reference/play.py "$here/clips/clip.mp4" "$here/clips/frames" --fps 16 >/dev/null 2>&1; then
    echo "frames that changed places pass in Chromium" >&2
    exit 1
fi
head -c 200000 "$here/clips/clip.mp4" >"$here/cut.mp4"
if quiet "$here/cut.mp4" 33 2>/dev/null; then
    echo "a video that is cut short passes in FFmpeg" >&2
    exit 1
fi
