#!/bin/sh
# Makes the small H.264 clips of this folder, and with each the times and checksums of its frames as ffmpeg decodes
# them (framecrc: pts in the time base of the first lines, and Adler-32 of the raw yuv420p frame, starting at 0).
# Needs ffmpeg with libx264; made with ffmpeg 5.1. The pictures are ffmpeg's own test pattern.
# shellcheck disable=SC2086  # $x264 is several options
set -eu
cd "$(dirname "$0")"
run() { ffmpeg -nostdin -hide_banner -loglevel error -y -bitexact "$@"; }
pattern() { echo "testsrc2=size=$1:rate=$2:duration=$3"; }
x264="-c:v libx264 -preset medium -threads 1 -pix_fmt yuv420p -crf 32"
gop="keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"

# B-frames, some of which other frames refer to, and three groups of pictures.
run -f lavfi -i "$(pattern 64x48 25 1.2)" $x264 -x264-params "$gop:b-pyramid=normal" bframes.mp4
# The same in fragments, at a rate that is no whole number.
run -f lavfi -i "$(pattern 64x48 30000/1001 1.0)" $x264 -x264-params "$gop" \
    -movflags frag_keyframe+empty_moov+default_base_moof fragmented.mp4
# To be turned a quarter (which way, ffmpeg's versions differ in), and of a size that is no multiple of a macroblock.
run -f lavfi -i "$(pattern 70x38 25 0.4)" $x264 -x264-params "$gop" upright.tmp.mp4
run -i upright.tmp.mp4 -c copy -metadata:s:v rotate=90 rotated.mp4
rm upright.tmp.mp4
# Uneven times, and the index before the pictures.
run -f lavfi -i "$(pattern 64x48 25 0.8)" $x264 -x264-params "$gop" -vf "settb=1/12800,setpts=(N+mod(N\,3)*0.3)/25/TB" \
    -fps_mode passthrough -enc_time_base 1/12800 -video_track_timescale 12800 -movflags +faststart uneven.mp4
# Begins within a group of pictures, by an edit list.
run -ss 0.28 -i bframes.mp4 -c copy edited.mp4
# Groups of pictures whose first B-frames need the group before.
run -f lavfi -i "$(pattern 64x48 25 1.2)" $x264 -x264-params "$gop:open-gop=1:b-pyramid=none" open_gop.mp4
# Full range, BT.709.
run -f lavfi -i "$(pattern 64x48 25 0.2)" $x264 -pix_fmt yuvj420p -colorspace bt709 -color_range pc full_range.mp4
# 4:4:4, which is left to ffmpeg.
run -f lavfi -i "$(pattern 64x48 25 0.2)" $x264 -pix_fmt yuv444p yuv444.mp4

for clip in bframes fragmented rotated uneven edited open_gop full_range; do
    ffmpeg -nostdin -hide_banner -loglevel error -bitexact -noautorotate -i $clip.mp4 -map 0:v:0 \
        -fps_mode passthrough -enc_time_base -1 -f framecrc - | grep -v '^#software' >$clip.framecrc
done
