#!/bin/sh
# Screenshots of a page (a report of an experiment or of a label set) at 1280 pixels and at a phone's 390, light and
# dark: OUTPUT_DIR/NAME-1280-light.png and so on. HEIGHT and PHONE_HEIGHT limit how much is shown, from the top. Needs
# Chromium and ImageMagick; the pages themselves do not.
#
#     scripts/screenshots.sh PAGE.html NAME OUTPUT_DIR
set -eu

page=$(realpath "$1")
name=$2
output=$3
if [ ! -f "$page" ]; then
    echo "no page at $page: saltworks report, or saltworks-train compare or report, writes one" >&2
    exit 1
fi
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
    echo "no Chromium found: install one, or name it by CHROMIUM=path" >&2
    exit 1
fi
if ! command -v convert >/dev/null; then
    echo "no convert found: install ImageMagick" >&2
    exit 1
fi
mkdir -p "$output"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shot NAME URL WIDTH HEIGHT CROP_WIDTH [FLAG]
shot() {
    "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars \
        --disable-background-networking --disable-component-update --disable-sync \
        --allow-file-access-from-files --user-data-dir="$work/profile" --virtual-time-budget=2000 \
        ${6:+"$6"} --window-size="$3,$4" --screenshot="$work/shot.png" "$2" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
    }
    convert "$work/shot.png" -crop "$5x$4+0+0" +repage -dither None -colors 96 -strip \
        -define png:compression-level=9 "$output/$1.png"
    echo "$output/$1.png"
}

height=${HEIGHT:-1500}
phone_height=${PHONE_HEIGHT:-1500}
# A headless window is at least some 500 pixels wide, so the phone is a frame in a page.
printf '<!DOCTYPE html><meta name="color-scheme" content="light dark"><body style="margin:0"><iframe src="file://%s" style="border:0;width:390px;height:%spx"></iframe>' \
    "$page" "$phone_height" >"$work/phone.html"
for theme in light dark; do
    flag=
    [ "$theme" = light ] || flag=--blink-settings=preferredColorScheme=0
    shot "$name-1280-$theme" "file://$page" 1280 "$height" 1280 "$flag"
    shot "$name-390-$theme" "file://$work/phone.html" 500 "$phone_height" 390 "$flag"
done
