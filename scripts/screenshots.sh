#!/bin/sh
# Pictures of a report at the widths that it is made for: 1280 pixels and a phone's 390, light and dark.
# Needs Chromium; the report itself does not.
#
#     scripts/screenshots.sh REPORT.html OUTPUT_DIR
set -eu

report=$(realpath "$1")
output=$2
if [ ! -f "$report" ]; then
    echo "no report at $report: saltworks-train compare or report writes one" >&2
    exit 1
fi
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
    echo "no Chromium found: install one, or name it by CHROMIUM=path" >&2
    exit 1
fi
mkdir -p "$output"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A headless window is at least some 500 pixels wide, so the phone is a frame in a page.
wrapper() {
    printf '<!DOCTYPE html><meta name="color-scheme" content="light dark"><body style="margin:0"><iframe src="file://%s" style="border:0;width:390px;height:%spx"></iframe>' \
        "$report" "$1" >"$work/phone.html"
}

# shot NAME URL WIDTH HEIGHT [FLAG]
shot() {
    "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars \
        --disable-background-networking --disable-component-update --disable-sync \
        --allow-file-access-from-files --user-data-dir="$work/profile" --virtual-time-budget=2000 \
        ${5:+"$5"} --window-size="$3,$4" --screenshot="$output/$1.png" "$2" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
    }
    echo "$output/$1.png"
}

dark=--blink-settings=preferredColorScheme=0
height=${HEIGHT:-9000}
phone_height=${PHONE_HEIGHT:-14000}
wrapper "$phone_height"
shot wide "file://$report" 1280 "$height"
shot wide-dark "file://$report" 1280 "$height" "$dark"
shot phone "file://$work/phone.html" 500 "$phone_height"
shot phone-dark "file://$work/phone.html" 500 "$phone_height" "$dark"
