"""Holds the rows of a `kernel-bench` file against PyTorch and ggml at the same shapes, as Markdown.

    python beside.py FILE.json [--device cuda|cpu] [--type f16|bf16|f32] [--seconds S] [--only OP]
                     [--ggml FOLDER] [--backend CPU|Vulkan0] [--no-torch]

Ours is what `kernel-bench` found in the middle one of its visits, not in the quietest: nobody waits for quiet here either. FILE is
of this machine, from the same minutes: `kernel-bench run --half --device vulkan --suite wan-480p --json FILE`, or
`--device cpu` (then `--device cpu --type f32 --backend CPU` here). FOLDER is ggml's source, which is built there with CMake; for
Vulkan that needs glslc, the headers of Vulkan and of SPIR-V. A ratio is the peer's time over ours: more than 1 is faster than it.
"""

import argparse
import json
import statistics

from peers import Ggml, PyTorch

OPS = ("linear", "attention", "conv3d")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=argparse.FileType())
    parser.add_argument("--device", choices=("cuda", "cpu"), help="for PyTorch; a GPU if it sees one")
    parser.add_argument("--type", choices=("f16", "bf16", "f32"), default="f16", help="for PyTorch")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each shape, for PyTorch")
    parser.add_argument("--only", choices=OPS, help="one op")
    parser.add_argument("--ggml", metavar="FOLDER", help="ggml's source")
    parser.add_argument("--backend", default="Vulkan0", help="for ggml")
    parser.add_argument("--limit", type=float, default=60, help="seconds of a row, for ggml")
    parser.add_argument("--no-torch", action="store_true", help="ggml alone")
    return parser.parse_args()


def typical(cold):
    """Seconds of a run in the middle one of a row's visits; the file's own figures are of the four quietest."""
    visits = sorted(cold["visits"])
    return cold["median"] * statistics.median(visits) / statistics.median(visits[:4])


def words(row):
    sizes = ", ".join(f"{name} {value}" for name, value in row["shape"].items())
    return f"{row['op']}: {sizes}; {row['path']}"


def main():
    options = arguments()
    peers = [] if options.no_torch else [PyTorch(options.device, options.type, options.seconds)]
    peers += [Ggml(options.ggml, options.backend, options.limit)] if options.ggml else []
    for measured in json.load(options.file)["devices"]:
        titles = [title for peer in peers for title in (peer.name, "ratio")]
        print(f"{measured['device']['name']}, TFLOP/s\n")
        print(f"| row | ours | {' | '.join(titles)} |\n|---|---|{'---|---|' * len(peers)}")
        ratios = {op: [[] for _ in peers] for op in OPS}
        for row in measured["rows"]:
            if row["measured"] is None or row["op"] not in OPS or options.only not in (None, row["op"]):
                continue
            ours = typical(row["measured"]["cold"])
            cells = [f"{row['flop'] / ours / 1e12:.3f}"]
            for peer, all_ratios in zip(peers, ratios[row["op"]]):
                theirs = peer.seconds(row)
                if theirs:
                    all_ratios.append(theirs / ours)
                cells += [f"{row['flop'] / theirs / 1e12:.3f}", f"{theirs / ours:.2f}"] if theirs else ["", ""]
            print(f"| {words(row)} | {' | '.join(cells)} |", flush=True)
        for op, of_peers in ratios.items():
            if any(of_peers):
                means = [f"**{statistics.geometric_mean(r):.2f}**" if r else "" for r in of_peers]
                print(f"| **{op}**, geometric mean | {''.join(f'| | {mean} ' for mean in means)}|")
        print()


if __name__ == "__main__":
    main()
