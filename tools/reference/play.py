"""Plays a video in headless Chromium and holds it against the PNG frames of the same run.

    play.py VIDEO FRAMES_FOLDER --fps 16 [--chromium PATH] [--tolerance 3]

The page loads VIDEO into a <video>, checks size, duration and that it can be played to its end, then seeks to the middle
of every frame, draws it on a canvas and compares it with that frame's PNG, in levels of 8 bits: the mean absolute
difference of luma must stay within the tolerance, and so must that of the colours of blocks of 16x16 pixels (4:2:0 cannot
hold the colours of single pixels); no other frame of the folder may be nearer. Exits 0 if all holds, else 1 and says what
does not. Needs nothing but Python and Chromium.
"""

import argparse
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PAGE = """<!doctype html><meta charset=utf-8><video muted playsinline></video><script>
const {frames, fps} = CONFIG;
const video = document.querySelector('video');
const once = (name, ms = 20000) => new Promise((resolve, reject) => {
  video.addEventListener(name, resolve, {once: true});
  setTimeout(() => reject(new Error('no event ' + name)), ms);
});
// Until the frame of this time is on the page, which may be later than the seek's end; a while at most, as a frame that is
// there already is not announced again.
const presented = (time, within) => new Promise(resolve => {
  setTimeout(resolve, 5000);
  const look = (_, {mediaTime}) => {
    if (Math.abs(mediaTime - time) < within) resolve(); else video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
});
const context = (width, height) => {
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  return canvas.getContext('2d', {willReadFrequently: true});
};
const pixels = (source, width, height) => {
  const c = context(width, height);
  c.drawImage(source, 0, 0, width, height);
  return c.getImageData(0, 0, width, height).data;
};
const distance = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i += 4)
    sum += Math.abs(0.2126 * (a[i] - b[i]) + 0.7152 * (a[i + 1] - b[i + 1]) + 0.0722 * (a[i + 2] - b[i + 2]));
  return sum / (a.length / 4);
};
const colours = (a, b, width) => {
  const blocks = new Map();
  for (let i = 0; i < a.length; i += 4) {
    const pixel = i / 4, block = (pixel % width >> 4) + 4096 * (Math.floor(pixel / width) >> 4);
    const sums = blocks.get(block) ?? blocks.set(block, [0, 0, 0, 0]).get(block);
    for (let c = 0; c < 3; c++) sums[c] += a[i + c] - b[i + c];
    sums[3]++;
  }
  let sum = 0;
  for (const [r, g, b, count] of blocks.values()) sum += (Math.abs(r) + Math.abs(g) + Math.abs(b)) / count / 3;
  return sum / blocks.size;
};
(async () => {
  // From memory, so that seeking does not hang on the server's manners.
  video.src = URL.createObjectURL(await (await fetch('video')).blob());
  await once('canplaythrough');
  const result = {width: video.videoWidth, height: video.videoHeight, duration: video.duration,
                  readyState: video.readyState, distances: [], colours: [], nearest: []};
  const ended = once('ended', 1000 * video.duration + 20000);
  await video.play();
  await ended;
  const quality = video.getVideoPlaybackQuality();
  result.played = quality.totalVideoFrames;
  const images = [];
  for (let i = 1; i <= frames; i++) {
    const image = new Image();
    image.src = 'frame/' + i;
    await image.decode();
    images.push(pixels(image, image.naturalWidth, image.naturalHeight));
    result.frame_size = [image.naturalWidth, image.naturalHeight];
  }
  for (let i = 0; i < frames; i++) {
    const seeked = once('seeked'), there = presented(i / fps, 0.5 / fps);
    video.currentTime = (i + 0.5) / fps;
    await seeked;
    await there;
    const shown = pixels(video, video.videoWidth, video.videoHeight);
    const distances = images.map(image => distance(image, shown));
    result.distances.push(distances[i]);
    result.colours.push(colours(images[i], shown, video.videoWidth));
    result.nearest.push(distances.indexOf(Math.min(...distances)));
  }
  const shown = pixels(video, video.videoWidth, video.videoHeight), last = images[frames - 1];
  const at = 4 * (Math.floor(video.videoHeight / 2) * video.videoWidth + Math.floor(video.videoWidth / 2));
  result.pixel = {shown: [...shown.slice(at, at + 3)], frame: [...last.slice(at, at + 3)]};
  return result;
})().catch(error => ({error: String(error) + (video.error ? ' ' + video.error.message : '')}))
    .then(result => fetch('result', {method: 'POST', body: JSON.stringify(result)}));
</script>"""


def play(video, frames, fps, chromium, timeout):
    """What the page found, as a dict."""
    done = threading.Event()
    result = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/":
                config = json.dumps({"frames": len(frames), "fps": fps})
                self.reply(PAGE.replace("CONFIG", config).encode(), "text/html")
            elif self.path == "/video":
                self.reply(video.read_bytes(), "video/mp4")
            elif self.path.startswith("/frame/"):
                self.reply(frames[int(self.path.rsplit("/", 1)[1]) - 1].read_bytes(), "image/png")
            else:
                self.send_error(404)

        def do_POST(self):
            result.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.reply(b"", "text/plain")
            done.set()

        def reply(self, body, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
    ).split()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        url = f"http://127.0.0.1:{server.server_port}/"
        browser = subprocess.Popen(
            [chromium, *flags, f"--user-data-dir={profile}", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if not done.wait(timeout):
                result["error"] = f"the page did not answer within {timeout} s"
        finally:
            browser.terminate()
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
    server.shutdown()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--fps", type=int, default=16)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--tolerance", type=float, default=3.0)
    parser.add_argument("--timeout", type=float, default=180.0)
    args = parser.parse_args()
    frames = sorted(args.frames.glob("frame_*.png"))
    if not frames:
        sys.exit(f"{args.frames}: no frame_*.png")
    found = play(args.video, frames, args.fps, args.chromium, args.timeout)
    if "error" in found:
        sys.exit(f"{args.video}: {found['error']}")
    wrong = []
    if [found["width"], found["height"]] != found["frame_size"]:
        wrong.append(f"size {found['width']}x{found['height']}, the frames are {found['frame_size']}")
    if abs(found["duration"] - len(frames) / args.fps) > 0.001:
        wrong.append(f"duration {found['duration']}, {len(frames)} frames at {args.fps} last {len(frames) / args.fps}")
    for i, nearest in enumerate(found["nearest"]):
        for what in ("distances", "colours"):
            if not found[what][i] <= args.tolerance:
                wrong.append(f"frame {i}: {what} {found[what][i]:.2f} from its PNG")
        if nearest != i:
            wrong.append(f"frame {i}: looks like frame {nearest}")
    if found["readyState"] < 3:
        wrong.append(f"readyState {found['readyState']}")
    if wrong:
        sys.exit("\n".join(f"{args.video}: {what}" for what in wrong))
    print(
        f"{args.video}: {found['width']}x{found['height']}, {found['duration']:.4f} s, {len(frames)} frames "
        f"({found['played']} shown while playing), luma {max(found['distances']):.2f} and colours "
        f"{max(found['colours']):.2f} from the frames at most, "
        f"middle of the last frame {found['pixel']['shown']} for {found['pixel']['frame']}"
    )


if __name__ == "__main__":
    main()
