#!/bin/sh
# The steps in the guest, started by its systemd: installs the package, exercises the service and reports the results on
# the serial console. check.py reads the lines that begin with "T " (board/guest/console.py describes them); its CHECKS
# describe the names after ok and fail.
#
# Runs in two boots. In the first, the host cuts the power at "T cut", while an event is open; the second continues.
cd /test || exit 1
exec >/dev/console 2>&1 </dev/null
config=/etc/bike-edge/bike-edge.toml
events=/var/log/bike-edge/events.jsonl
state=/var/lib/bike-edge/state.json
metrics=/run/bike-edge/bike-edge.prom
camera=/dev/v4l/by-path/platform-vivid.0-video-index0

# check NAME COMMAND...: reports whether the command succeeds, and returns the same.
check() {
    name=$1
    shift
    if "$@" >/tmp/check 2>&1; then
        echo "T ok $name"
    else
        echo "T fail $name"
        sed "s/^/T err $name /" /tmp/check
        return 1
    fi
}
# within SECONDS COMMAND...: repeats the command until it succeeds or the time is over.
within() {
    until_s=$(($(seconds) + $1))
    shift
    until "$@" >/tmp/within 2>&1; do
        [ "$(seconds)" -lt $until_s ] || { cat /tmp/within; return 1; }
        sleep 0.3
    done
}
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
seconds() { cut -d. -f1 /proc/uptime; }
not() { ! "$@"; }
# report NAME FILE: reports a file's lines, and a newline, as the state file has none at its end.
report() {
    sed "s/^/T out $1 /" "$2"
    echo
}

property() { systemctl show bike-edge -p "$1" --value; }
pid() { property MainPID; }
active() { systemctl is-active bike-edge; }
# Whether a process other than $1 is active.
restarted() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && active; }
# metric NAME: prints a metric as an integer.
metric() { sed -n "s/^bike_edge_$1 \([0-9]*\).*/\1/p" $metrics; }
at_least() { value=$(metric "$1"); echo "$1 is ${value:-missing}"; [ "${value:-0}" -ge "$2" ]; }
captured='frames_total{camera="front",what="captured"}'
# Whether new frames arrive.
frames_arrive() {
    before=$(metric "$captured")
    within 90 at_least "$captured" $((${before:-0} + 5))
}
lines() { grep -c "\"event\":\"$1\"" $events 2>/dev/null; }
more_lines() { [ "$(lines "$1")" -gt "$2" ]; }
journal() { journalctl -u bike-edge -o cat "$@"; }
logged() { journal --no-pager | grep -q "$1"; }
event_open() { grep -q '"open":{"' $state; }
# Searches everything that the service wrote, and the whole journal.
no_credentials_written() {
    { journalctl --no-pager; cat check-config.out $events* $state $metrics 2>/dev/null; } >all
    ! grep -E 's3cr3t|t0k3n' all
}
# test_pattern NUMBER: sets the picture of the virtual camera.
test_pattern() { v4l2-ctl -d $camera --set-ctrl="test_pattern=$1" >/dev/null 2>&1 || echo "T fail control"; }
mode() { stat -c '%U:%G %a' /dev/video0; }
# Debian's default equals the package's rule, so the test's own rule (55-test.rules) sets something else in between.
video_group() { udevadm settle; [ "$(mode)" = "root:video 660" ] || { mode; return 1; }; }
plug() {
    while read -r module; do
        case $module in
            vivid) insmod modules/vivid.ko n_devs=1 node_types=0x1 input_types=0x0 num_inputs=1 ;;
            *) insmod "modules/$module.ko" 2>/dev/null ;;
        esac
    done <modules/order
    udevadm settle
    v4l2-ctl -d /dev/video0 --set-ctrl=osd_text_mode=2
}
finish() { echo "T done"; sync; systemctl poweroff --force --force; }
# require NAME COMMAND...: like check, but ends the test on failure, because later checks depend on this one.
require() {
    check "$@" && return
    journalctl -b --no-pager -u bike-edge | tail -n 40 | sed "s/^/T err $1 /"
    systemctl poweroff --force --force
    sleep 60
}

first_boot() {
    # By now udev's coldplug, which sets the permissions of cameras that exist at boot, is over.
    plug
    echo "T camera $(mode)"
    check camera_restricted_at_first [ "$(mode)" = "root:root 600" ]
    find / -xdev -name '*bike-edge*' ! -path '/test/*' ! -path '/proc/*' | sort >before

    require installs dpkg -i one.deb
    require udev_rule_applies within 60 video_group
    check not_started_by_install not active
    check not_enabled_by_install [ "$(systemctl is-enabled bike-edge)" = disabled ]
    check unit_verified systemd-analyze verify --man=no bike-edge.service
    check doctor bike-edge doctor
    bike-edge doctor >out && report doctor out
    check camera_listed sh -c 'bike-edge camera list | grep -q platform-vivid.0-video-index0'

    cp bike-edge.toml $config
    printf 'rtsp://user:%s@127.0.0.1:9/door?token=%s\n' s3cr3t t0k3n >/etc/bike-edge/door.url
    chmod 600 /etc/bike-edge/door.url
    mkdir /etc/systemd/system/bike-edge.service.d
    printf '[Service]\nLoadCredential=door:/etc/bike-edge/door.url\nWatchdogSec=40\n' >/etc/systemd/system/bike-edge.service.d/test.conf
    systemctl daemon-reload
    check configuration_accepted bike-edge check-config
    bike-edge check-config >check-config.out 2>&1
    systemctl enable bike-edge 2>/dev/null
    # In use, these files would have reached the disk long ago. What is written from here on survives the power cut only if
    # the service itself syncs it.
    sync

    start_s=$(seconds)
    require starts systemctl start bike-edge
    echo "T start_s $(($(seconds) - start_s))"
    check ready_after_start active
    check notifies [ "$(property Type)" = notify ]
    first=$(pid)
    echo "T sha256 $(sha256sum /proc/"$first"/exe | cut -d ' ' -f 1)"
    uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$first/status")
    echo "T uid $uid"
    check dynamic_user between 61184 "${uid:-0}" 65519
    check no_capabilities grep -q '^CapEff:.0*$' "/proc/$first/status"
    check seccomp grep -q '^Seccomp:.2$' "/proc/$first/status"
    require frames within 180 at_least "$captured" 20
    check camera_open sh -c "ls -l /proc/$first/fd | grep -q /dev/video0"
    check status within 90 sh -c 'systemctl show bike-edge -p StatusText | grep -q "1 of 2 cameras"'
    check state_written grep -q '"starts":1,' $state

    require event_starts within 180 more_lines new 0
    # Frames arrive and are analysed without a write: no file changes, and no byte is written to the disk.
    sleep 3
    touch stamp
    frames=$(metric "$captured") steps=$(metric 'steps_total{camera="front"}')
    bytes=$(sed -n 's/^write_bytes: //p' "/proc/$first/io")
    within 180 at_least 'steps_total{camera="front"}' $((steps + 8))
    echo "T quiet $(($(metric "$captured") - frames)) frames, $(($(metric 'steps_total{camera="front"}') - steps)) steps," \
        "$(($(sed -n 's/^write_bytes: //p' "/proc/$first/io") - bytes)) bytes"
    find /var/lib/private /var/log/private /etc -newer stamp -type f >newer
    check nothing_written_per_frame sh -c 'cat newer; [ ! -s newer ]'
    check no_byte_written [ "$(sed -n 's/^write_bytes: //p' "/proc/$first/io")" = "$bytes" ]
    ends=$(lines end)
    test_pattern 5
    check event_ends within 180 more_lines end "$ends"
    test_pattern 0

    sed -i 's/^update_s = .*/update_s = 3/' $config
    check reloads systemctl reload bike-edge
    check reload_applied within 60 at_least 'reloads_total{result="taken"}' 1
    check reload_takes_effect within 180 more_lines update 0
    echo 'nonsense = 1' >>$config
    systemctl reload bike-edge
    check reload_refused within 60 at_least 'reloads_total{result="refused"}' 1
    check refusal_names_the_key within 30 logged 'bike-edge.toml.*nonsense'
    check old_configuration_kept frames_arrive
    check same_process_after_reload [ "$(pid)" = "$first" ]
    sed -i '$d' $config

    starts=$(property NRestarts) news=$(lines new)
    kill -STOP "$first"
    check hang_restarts within 180 restarted "$first"
    check hang_found_by_watchdog within 30 logged 'Watchdog timeout'
    check restart_counted [ "$(property NRestarts)" -gt "$starts" ]
    check event_ended_after_hang within 60 grep -q '"interrupted":true' $events
    second=$(pid)
    check event_starts_after_hang within 180 more_lines new "$news"
    kill -KILL "$second"
    check kill_restarts within 180 restarted "$second"
    check state_after_kill within 60 grep -q '"starts":3,' $state
    check frames_after_kill frames_arrive

    third=$(pid)
    echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
    check loss_logged within 90 logged 'lost: it was unplugged'
    check active_after_loss active
    sleep 3
    echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
    v4l2-ctl -d /dev/video0 --set-ctrl=osd_text_mode=2
    check udev_rule_applies_again within 30 video_group
    check reconnects within 180 at_least 'reconnects_total{camera="front"}' 1
    check frames_after_replug frames_arrive
    check same_process_after_replug [ "$(pid)" = "$third" ]

    check event_open_at_cut within 180 event_open
    report before_cut $state
    systemd-analyze security bike-edge --no-pager | tail -n 1 | sed 's/^/T out security /'
    journal -p warning >out
    check warnings_filtered sh -c 'grep -q "lost:" out && ! grep -q "ready after" out'
    check no_credentials_before_cut no_credentials_written
    echo "T frames $(metric "$captured")"
    echo "T cut"
    sleep 60
    echo "T fail power_cut"
    finish
}

second_boot() {
    # The boot has started the service, and the camera appears later.
    check started_at_boot within 180 active
    check no_camera_at_boot [ ! -e /dev/video0 ]
    plug
    check frames_after_boot frames_arrive
    report after_cut $state
    check state_after_cut grep -q '"starts":4,' $state
    check event_starts_after_cut within 180 event_open

    start_s=$(seconds)
    check stops systemctl stop bike-edge
    echo "T stop_s $(($(seconds) - start_s))"
    check stops_cleanly [ "$(property Result) $(property ExecMainStatus)" = "success 0" ]
    check no_event_left_open grep -q '"open":{}' $state
    report events $events
    report state $state

    journal >out
    report journal out
    check unreachable_camera_logged grep -q 'rtsp://127.0.0.1:9/[.][.][.]: lost' out
    check no_credentials no_credentials_written

    systemctl start bike-edge
    fifth=$(pid)
    check upgrades dpkg --force-confdef --force-confold -i two.deb
    check new_version sh -c 'dpkg -s bike-edge | grep -q "^Version: .*+upgrade"'
    check restarted_by_upgrade within 90 restarted "$fifth"
    check stays_enabled [ "$(systemctl is-enabled bike-edge)" = enabled ]
    check configuration_kept grep -q '^update_s = 3' $config
    check removes dpkg -r bike-edge
    check removal_stops not active
    check removal_keeps_configuration [ -e $config ]
    # Files that the package does not own.
    rm -r /etc/systemd/system/bike-edge.service.d /etc/bike-edge/door.url /etc/bike-edge/bike-edge.toml.dpkg-*
    check purges dpkg -P bike-edge
    find / -xdev -name '*bike-edge*' ! -path '/test/*' ! -path '/proc/*' | sort >after
    check nothing_left diff before after
    check no_failed_units sh -c 'systemctl --failed --no-legend | grep . && exit 1 || exit 0'
    finish
}

echo
echo "T nonce $(sed -n 's/.*nonce=\([^ ]*\).*/\1/p' /proc/cmdline)"
echo "T systemd $(cat /proc/1/comm) $(systemctl --version | head -n 1)"
case $(cat /proc/cmdline) in
    *boot=first*) first_boot ;;
    *) second_boot ;;
esac
