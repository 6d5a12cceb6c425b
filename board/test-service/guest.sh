#!/bin/sh
# Runs in the guest, started by its systemd: installs the package, works the service and tells on the serial console what
# came of it. Lines that begin with "T " are read by check.py; a name after ok or fail is a promise there.
#
# Two boots: in the first one the host cuts the power at "T cut", while an event goes on; the second one goes on from there.
cd /test || exit 1
exec >/dev/console 2>&1 </dev/null
config=/etc/bike-edge/bike-edge.toml
events=/var/log/bike-edge/events.jsonl
state=/var/lib/bike-edge/state.json
metrics=/run/bike-edge/bike-edge.prom
camera=/dev/v4l/by-path/platform-vivid.0-video-index0

# is NAME COMMAND...: whether a promise is kept.
is() {
    name=$1
    shift
    if "$@" >/tmp/is 2>&1; then
        echo ok >/tmp/kept
        echo "T ok $name"
    else
        echo fail >/tmp/kept
        echo "T fail $name"
        sed "s/^/T err $name /" /tmp/is
    fi
}
# within SECONDS COMMAND...: tried again and again.
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
# told NAME FILE: a file as it is, and a line's end, which the state does not have.
told() {
    sed "s/^/T out $1 /" "$2"
    echo
}

shows() { systemctl show bike-edge -p "$1" --value; }
pid() { shows MainPID; }
active() { systemctl is-active bike-edge; }
# Another process than $1 is up and ready.
anew() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && active; }
# figure NAME: a whole number out of the metrics.
figure() { sed -n "s/^bike_edge_$1 \([0-9]*\).*/\1/p" $metrics; }
atleast() { value=$(figure "$1"); echo "$1 is ${value:-not there}"; [ "${value:-0}" -ge "$2" ]; }
captured='frames_total{camera="front",what="captured"}'
# Frames that came within a few seconds.
frames_come() {
    was=$(figure "$captured")
    within 90 atleast "$captured" $((${was:-0} + 5))
}
lines() { grep -c "\"event\":\"$1\"" $events 2>/dev/null; }
more_lines() { [ "$(lines "$1")" -gt "$2" ]; }
journal() { journalctl -u bike-edge -o cat "$@"; }
logged() { journal --no-pager | grep -q "$1"; }
event_goes_on() { grep -q '"open":{"' $state; }
# Looks through everything that the service wrote anywhere, and everything that the journal holds.
told_no_credentials() {
    { journalctl --no-pager; cat check-config.out $events* $state $metrics 2>/dev/null; } >all
    ! grep -E 's3cr3t|t0k3n' all
}
picture() { v4l2-ctl -d $camera --set-ctrl="test_pattern=$1" >/dev/null 2>&1 || echo "T fail control"; }
mode() { stat -c '%U:%G %a' /dev/video0; }
# The default of the distribution is the same as the rule's, so one of ours stands between them.
video_group() { udevadm settle; [ "$(mode)" = "root:video 660" ] || { mode; return 1; }; }
plug() {
    for module in $(cat modules/order); do
        case $module in
            vivid) insmod modules/vivid.ko n_devs=1 node_types=0x1 input_types=0x0 num_inputs=1 ;;
            *) insmod "modules/$module.ko" 2>/dev/null ;;
        esac
    done
    udevadm settle
    v4l2-ctl -d /dev/video0 --set-ctrl=osd_text_mode=2
}
finish() { echo "T done"; sync; systemctl poweroff --force --force; }
# must NAME COMMAND...: a promise without which the others mean nothing.
must() {
    is "$@"
    grep -q ok /tmp/kept && return
    journalctl -b --no-pager -u bike-edge | tail -n 40 | sed "s/^/T err $1 /"
    systemctl poweroff --force --force
    sleep 60
}

before_the_cut() {
    # udev's coldplug is over, and with it whatever the distribution does to cameras.
    plug
    echo "T camera $(mode)"
    is camera_is_shut_at_first [ "$(mode)" = "root:root 600" ]
    find / -xdev -name '*bike-edge*' ! -path '/test/*' ! -path '/proc/*' | sort >before

    must installs dpkg -i one.deb
    must opened_by_the_rule within 60 video_group
    is waits_to_be_asked not active
    is disabled_at_first [ "$(systemctl is-enabled bike-edge)" = disabled ]
    is verify systemd-analyze verify --man=no bike-edge.service
    is doctor bike-edge doctor
    bike-edge doctor >out && told doctor out
    is listed sh -c 'bike-edge camera list | grep -q platform-vivid.0-video-index0'

    cp bike-edge.toml $config
    printf 'rtsp://user:%s@127.0.0.1:9/door?token=%s\n' s3cr3t t0k3n >/etc/bike-edge/door.url
    chmod 600 /etc/bike-edge/door.url
    mkdir /etc/systemd/system/bike-edge.service.d
    printf '[Service]\nLoadCredential=door:/etc/bike-edge/door.url\nWatchdogSec=40\n' >/etc/systemd/system/bike-edge.service.d/test.conf
    systemctl daemon-reload
    is configured bike-edge check-config
    bike-edge check-config >check-config.out 2>&1
    systemctl enable bike-edge 2>/dev/null
    # What a person would have done long before. From here on only the service itself sees to what outlives the cut.
    sync

    began=$(seconds)
    must starts systemctl start bike-edge
    echo "T start_s $(($(seconds) - began))"
    is ready_when_told active
    is notifies [ "$(shows Type)" = notify ]
    first=$(pid)
    echo "T sha256 $(sha256sum /proc/"$first"/exe | cut -d ' ' -f 1)"
    uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$first/status")
    echo "T uid $uid"
    is dynamic_user between 61184 "${uid:-0}" 65519
    is no_capabilities grep -q '^CapEff:.0*$' "/proc/$first/status"
    is seccomp grep -q '^Seccomp:.2$' "/proc/$first/status"
    must frames within 180 atleast "$captured" 20
    is holds_the_camera sh -c "ls -l /proc/$first/fd | grep -q /dev/video0"
    is status within 90 sh -c 'systemctl show bike-edge -p StatusText | grep -q "1 of 2 cameras"'
    is state_is_kept grep -q '"starts":1,' $state

    must event_begins within 180 more_lines new 0
    # Frames come and are looked at, and nothing is written: no file changes, no byte goes to the disk.
    sleep 3
    touch stamp
    frames=$(figure "$captured") steps=$(figure 'steps_total{camera="front"}')
    bytes=$(sed -n 's/^write_bytes: //p' "/proc/$first/io")
    within 180 atleast 'steps_total{camera="front"}' $((steps + 8))
    echo "T quiet $(($(figure "$captured") - frames)) frames, $(($(figure 'steps_total{camera="front"}') - steps)) steps," \
        "$(($(sed -n 's/^write_bytes: //p' "/proc/$first/io") - bytes)) bytes"
    find /var/lib/private /var/log/private /etc -newer stamp -type f >newer
    is nothing_written_per_frame sh -c 'cat newer; [ ! -s newer ]'
    is no_byte_written [ "$(sed -n 's/^write_bytes: //p' "/proc/$first/io")" = "$bytes" ]
    ends=$(lines end)
    picture 5
    is event_ends within 180 more_lines end "$ends"
    picture 0

    sed -i 's/^update_s = .*/update_s = 3/' $config
    is reloads systemctl reload bike-edge
    is reload_is_taken within 60 atleast 'reloads_total{result="taken"}' 1
    is reload_changes within 180 more_lines update 0
    echo 'nonsense = 1' >>$config
    systemctl reload bike-edge
    is reload_is_refused within 60 atleast 'reloads_total{result="refused"}' 1
    is refusal_names_the_key within 30 logged 'bike-edge.toml.*nonsense'
    is goes_on_with_the_old frames_come
    is same_process [ "$(pid)" = "$first" ]
    sed -i '$d' $config

    starts=$(shows NRestarts) news=$(lines new)
    kill -STOP "$first"
    is watchdog_restarts within 180 anew "$first"
    is watchdog_it_was within 30 logged 'Watchdog timeout'
    is restart_is_counted [ "$(shows NRestarts)" -gt "$starts" ]
    is event_is_ended_after_a_hang within 60 grep -q '"interrupted":true' $events
    second=$(pid)
    is another_event_begins within 180 more_lines new "$news"
    kill -KILL "$second"
    is kill_restarts within 180 anew "$second"
    is state_after_kill within 60 grep -q '"starts":3,' $state
    is frames_after_kill frames_come

    third=$(pid)
    echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
    is loss_is_logged within 90 logged 'lost: it was unplugged'
    is service_goes_on active
    sleep 3
    echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
    v4l2-ctl -d /dev/video0 --set-ctrl=osd_text_mode=2
    is back_with_its_group within 30 video_group
    is reconnects within 180 atleast 'reconnects_total{camera="front"}' 1
    is frames_after_replug frames_come
    is same_after_replug [ "$(pid)" = "$third" ]

    is event_goes_on_at_the_cut within 180 event_goes_on
    told before_cut $state
    systemd-analyze security bike-edge --no-pager | tail -n 1 | sed 's/^/T out security /'
    journal -p warning >out
    is warnings_are_known sh -c 'grep -q "lost:" out && ! grep -q "ready after" out'
    is no_credentials_at_first told_no_credentials
    echo "T frames $(figure "$captured")"
    echo "T cut"
    sleep 60
    echo "T fail power_cut"
    finish
}

after_the_cut() {
    # The camera comes after the service: it was started by the boot, and waits.
    is started_by_the_boot within 180 active
    is no_camera_yet [ ! -e /dev/video0 ]
    plug
    is frames_after_boot frames_come
    told after_cut $state
    is state_after_cut grep -q '"starts":4,' $state
    is event_after_cut within 180 event_goes_on

    began=$(seconds)
    is stops systemctl stop bike-edge
    echo "T stop_s $(($(seconds) - began))"
    is stops_clean [ "$(shows Result) $(shows ExecMainStatus)" = "success 0" ]
    is nothing_left_open grep -q '"open":{}' $state
    told events $events
    told state $state

    journal >out
    told journal out
    is failing_camera_is_logged grep -q 'rtsp://127.0.0.1:9/door.*lost' out
    is no_credentials told_no_credentials

    systemctl start bike-edge
    fifth=$(pid)
    is upgrades dpkg --force-confdef --force-confold -i two.deb
    is new_version sh -c 'dpkg -s bike-edge | grep -q "^Version: .*+upgrade"'
    is upgrade_goes_on within 90 anew "$fifth"
    is stays_enabled [ "$(systemctl is-enabled bike-edge)" = enabled ]
    is configuration_is_kept grep -q '^update_s = 3' $config
    is removes dpkg -r bike-edge
    is removal_stops not active
    is removal_keeps_the_configuration [ -e $config ]
    # What the package never had.
    rm -r /etc/systemd/system/bike-edge.service.d /etc/bike-edge/door.url /etc/bike-edge/bike-edge.toml.dpkg-*
    is purges dpkg -P bike-edge
    find / -xdev -name '*bike-edge*' ! -path '/test/*' ! -path '/proc/*' | sort >after
    is nothing_is_left diff before after
    is no_failed_units sh -c 'systemctl --failed --no-legend | grep . && exit 1 || exit 0'
    finish
}

echo
echo "T nonce $(sed -n 's/.*nonce=\([^ ]*\).*/\1/p' /proc/cmdline)"
echo "T systemd $(cat /proc/1/comm) $(systemctl --version | head -n 1)"
case $(cat /proc/cmdline) in
    *boot=first*) before_the_cut ;;
    *) after_the_cut ;;
esac
