#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the guest: creates virtual cameras, runs bike-edge on them and reports the results on the serial
# console. check.py reads the lines that begin with "T " (board/guest/console.py describes them).
/bin/busybox mkdir -p /bin /sbin
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
cd /tmp || exit 1

while read -r module; do
    case $module in
        # Three webcams of one kind, a capture card with an HDMI input (type 3), and a webcam with the multi-planar API
        # of the camera interfaces on boards (multiplanar 2).
        vivid) insmod /modules/vivid.ko n_devs=5 node_types=0x1,0x1,0x1,0x1,0x1 multiplanar=1,1,1,1,2 num_inputs=1,1,1,1,1 input_types=0x0,0x0,0x0,0x3,0x0 ;;
        *) insmod "/modules/$module.ko" ;;
    esac || echo "T fail insmod $module"
done </modules/order
# Ends the line that the firmware left unfinished.
echo
nonce=$(sed -n 's/.*nonce=\([^ ]*\).*/\1/p' /proc/cmdline)
echo "T nonce $nonce"
echo "T sha256 $(sha256sum /bin/bike-edge | cut -d ' ' -f 1)"

for n in 0 1 2 3 4; do v4l2-ctl -d /dev/video$n --set-ctrl=osd_text_mode=2; done

# run NAME COMMAND...: reports its exit code and output.
run() {
    name=$1
    shift
    "$@" >"$name.out" 2>"$name.err"
    echo "T rc $name $?"
    sed "s/^/T out $name /" "$name.out"
    sed "s/^/T err $name /" "$name.err"
}
# report_picture NAME FILE: reports the file, if it exists.
report_picture() { [ -e "$2" ] && echo "T file $1 $(base64 -w 0 "$2")"; }
# control DEVICE CONTROL=VALUE: sets a control of the virtual camera.
control() { v4l2-ctl -d "$1" --set-ctrl="$2" >/dev/null 2>&1 || echo "T fail control $2 on $1"; }

run list bike-edge camera list
run list_json bike-edge camera list --json

# Takes a picture in every format, each from a newly started stream.
for format in yuyv nv12 yu12 rgb3 bgr3; do
    run "snapshot_$format" bike-edge camera snapshot camera:vivid-000 $format.png --camera-format $format --camera-size 320x180 --after 0
    report_picture "snapshot_$format" $format.png
done
for format in yuyv nv12 yu12; do
    run "multi_$format" bike-edge camera snapshot camera:vivid-004 multi_$format.png --camera-format $format --camera-size 320x180 --after 0
    report_picture "multi_$format" multi_$format.png
done
run multi_test bike-edge camera test camera:vivid-004 --camera-size 320x180 --seconds 2 --json
run snapshot_again bike-edge camera snapshot camera:vivid-000 yuyv.png
run masked bike-edge camera snapshot camera:vivid-000 masked.png --camera-size 320x180 --after 0 --rotate 90 --mask 0,0,90,100 --roi 0,0,180,160
report_picture masked masked.png
run absent bike-edge camera snapshot camera:nothing none.png
run two bike-edge camera snapshot camera:vivid two.png
run unoffered bike-edge camera snapshot /dev/video0 none.png --camera-format mjpeg
run negotiated bike-edge camera test /dev/video0 --seconds 1 --json

# Faults, at the same time, each on another camera.
# Damaged frames, a fatal error and a disconnect.
faults_0() {
    bike-edge -v camera test camera:vivid-000 --camera-size 320x180 --seconds 9 --json >faults_0.out 2>faults_0.err &
    sleep 1
    bike-edge camera test /dev/video0 --seconds 1 --json >busy.out 2>busy.err
    echo "T rc busy $?" >>late
    control /dev/video0 inject_v4l2_buf_flag_error=1
    sleep 1
    control /dev/video0 inject_fatal_streaming_error=1
    sleep 2
    control /dev/video0 disconnect=1
    wait $!
    echo "T rc faults_0 $?" >>late
}
# The driver drops all frames, then 30 % of them.
faults_1() {
    bike-edge -v camera test camera:vivid-001 --camera-size 320x180 --io-timeout 1 --seconds 9 --json >faults_1.out 2>faults_1.err &
    sleep 2
    control /dev/video1 percentage_of_dropped_buffers=100
    sleep 3
    control /dev/video1 percentage_of_dropped_buffers=30
    wait $!
    echo "T rc faults_1 $?" >>late
    control /dev/video1 percentage_of_dropped_buffers=0
}
# The signal of a capture card is lost and returns.
faults_3() {
    bike-edge -v camera test camera:vivid-003 --seconds 6 --json >faults_3.out 2>faults_3.err &
    sleep 2
    control /dev/video3 dv_timings_signal_mode=1
    sleep 2
    control /dev/video3 dv_timings_signal_mode=0
    wait $!
    echo "T rc faults_3 $?" >>late
}
faults_0 & faults_1 & faults_3 &
wait
cat late
for name in busy faults_0 faults_1 faults_3; do
    sed "s/^/T out $name /" $name.out
    sed "s/^/T err $name /" $name.err
done

# A camera in use is unplugged and returns under another number, because another process keeps the old
# number open.
bike-edge -v camera test /dev/video2 --camera-size 320x180 --seconds 7 --json >replug.out 2>replug.err &
sleep 2
exec 3</dev/video2
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 1
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
echo "T devices $(echo /dev/video*)"
wait $!
echo "T rc replug $?"
exec 3<&-
sed "s/^/T out replug /" replug.out
sed "s/^/T err replug /" replug.err

# From camera to results, with the embedded model. `head` exits after two lines, and watch ends then.
{
    timeout 100 bike-edge watch camera:vivid-000 --camera-size 320x180 --stride 0.25 --no-gate --steps --top 1 2>watch.err
    echo "T rc watch $?" >watch.rc
} | head -n 2 >watch.lines
cat watch.rc
sed "s/^/T out watch /" watch.lines
sed "s/^/T err watch /" watch.err

echo "T frames $(cat ./*.out | tr ',{' '\n' | sed -n 's/^"captured":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }')"
echo "T done"
poweroff -f
