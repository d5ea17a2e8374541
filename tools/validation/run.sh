#!/usr/bin/env bash
# Has Vulkan's validation layer watch what this engine records: synchronization (with its heuristic for shaders' accesses),
# then what shaders do to memory. No message may come, and one must come of a build that leaves barriers out.
#
#   tools/validation/run.sh [quick | unstable [FOLDER]]
#
# Takes the layer and SwiftShader, the least of all drivers (no f16, subgroups of 4), out of a Debian package that is
# downloaded and unpacked into target/validation, not installed; lavapipe is the system's. `quick` is the
# synchronization of ops on SwiftShader alone, half a minute; all of it takes a quarter of an hour.
#
# `unstable` does the same for matrix units, which the lavapipe of Debian's unstable has: it bootstraps a system with that
# driver and its layer into FOLDER (target/unstable; 1 GB), for which it must be root and have debootstrap.
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-all}

folder=$PWD/target/validation
if [ "$mode" = unstable ]; then
    root=${2:-$PWD/target/unstable}
    packages=(mesa-vulkan-drivers libvulkan1 vulkan-validationlayers)
    if [ ! -e "$root/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json" ]; then
        # The mirror's list of unstable is often a few hours past its date.
        debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
            unstable "$root" >/dev/null
        chroot "$root" apt-get -o Acquire::Check-Valid-Until=false update -qq
        chroot "$root" apt-get install -qq --no-install-recommends "${packages[@]}" >/dev/null
    fi
    # The program sees its folder under this name.
    folder=$root/validation inside=/validation within=(chroot "$root")
    layers=/usr/share/vulkan/explicit_layer.d
    mkdir -p "$folder"
else
    inside=$folder within=() layers=$folder
    browser=$folder/usr/lib/chromium
    if [ ! -e "$browser/libVkLayer_khronos_validation.so" ]; then
        rm -rf "$folder" && mkdir -p "$folder"
        (cd "$folder" && apt-get download -qq chromium-common) 2>/dev/null ||
            { apt-get update -qq && (cd "$folder" && apt-get download -qq chromium-common 2>/dev/null); }
        dpkg -x "$folder"/chromium-common_*.deb "$folder" && rm "$folder"/*.deb
    fi
    cat >"$folder/VkLayer_khronos_validation.json" <<END
{"file_format_version": "1.2.0", "layer": {"name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL", "api_version": "1.4.300",
 "library_path": "$browser/libVkLayer_khronos_validation.so", "implementation_version": "1", "description": "validation"}}
END
fi

log=$folder/log.txt
settings() {
    printf 'khronos_validation.%s\n' 'debug_action = VK_DBG_LAYER_ACTION_LOG_MSG' "log_filename = $inside/log.txt" "$@" \
        >"$folder/vk_layer_settings.txt"
}
settings_of_synchronization=('report_flags = error,warn' 'validate_sync = true' 'syncval_shader_accesses_heuristic = true')
# Its warnings are of limits that it adjusts to have room for itself.
settings_of_memory=('report_flags = error' 'gpuav_enable = true')

# Runs generate under the layer, and tells how many messages came.
messages() {
    rm -f "$log"
    "${within[@]}" env VK_LAYER_PATH="$layers" VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation \
        VK_LAYER_SETTINGS_PATH="$inside/vk_layer_settings.txt" VK_DRIVER_FILES="$driver" \
        "$inside/$program" --device vulkan "$@" >"$folder/output.txt" 2>&1 || { cat "$folder/output.txt" >&2; return 1; }
    [ -e "$log" ] || { echo "the layer was not loaded" >&2; return 1; }
    grep -c '^Validation' "$log" || true
}

none() {
    local count
    count=$(messages "$@")
    printf '%s messages: %s\n' "$count" "$*"
    [ "$count" = 0 ] || { head -n 20 "$log" >&2; return 1; }
}

# That the layer was not deaf: without barriers it has something to say.
planted() {
    local count
    count=$(program=careless messages --self-test="$1" --precision half)
    printf '%s messages without barriers\n' "$count"
    [ "$count" -gt 0 ]
}

program=generate
if [ "$mode" != quick ]; then
    ZOETROPE_NO_BARRIERS=1 cargo build --locked --quiet --bin generate
    cp target/debug/generate "$folder/careless"
fi
cargo build --locked --quiet --bin generate
cp target/debug/generate "$folder/generate"
clip=(--force -o "$inside/clip.gif" --size 64x64 --frames 5 --steps 2 "a red circle moving right on a blue background")

if [ "$mode" = unstable ]; then
    driver=/usr/share/vulkan/icd.d/lvp_icd.json
    settings "${settings_of_synchronization[@]}"
    none --self-test --precision half
    grep -q 'matrix units of' "$folder/output.txt"
    planted halves
    none --precision half "${clip[@]}"
    settings "${settings_of_memory[@]}"
    # Attention is in the trial with which a device is opened; with more of it, and with other shaders, that layer breaks down.
    none --self-test=linear --precision half
    none --self-test=conv3d --precision half
    exit
fi

drivers=("$browser/vk_swiftshader_icd.json")
[ "$mode" = quick ] || drivers+=("$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*')")
for driver in "${drivers[@]}"; do
    echo "$(basename "$driver")"
    settings "${settings_of_synchronization[@]}"
    none --self-test --precision half
    [ "$mode" = quick ] && continue
    planted ''
    none --precision full "${clip[@]}"
    none --precision half --memory 0.0065 "${clip[@]}"
    settings "${settings_of_memory[@]}"
    none --self-test --precision half
done
