"""An RTSP server for tests: rtsp_server.py PORT WIDTHxHEIGHT USER PASSWORD.

It serves a moving picture at rtsp://127.0.0.1:PORT/live. SIGUSR1 moves its timestamps ten hours ahead.
"""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

JUMP_NS = 10 * 3600 * Gst.SECOND


class Factory(GstRtspServer.RTSPMediaFactory):
    """Makes the stream, and remembers the elements that move its timestamps."""

    def __init__(self, size: str):
        super().__init__()
        width, height = size.split("x")
        self.set_launch(
            f"( videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=15/1 "
            "! identity name=clock ! x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
        )
        self.set_shared(True)
        self.clocks: list[Gst.Element] = []
        self.connect("media-configure", lambda _, media: self.clocks.append(media.get_element().get_by_name("clock")))

    def jump(self) -> bool:
        """Moves the timestamps of all streams."""
        for clock in self.clocks:
            clock.set_property("ts-offset", clock.get_property("ts-offset") + JUMP_NS)
        return True


def main() -> None:
    """Serves until it is killed."""
    port, size, user, password = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(port)
    server.set_address("127.0.0.1")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory = Factory(size)
    role = "user, media.factory.access=true, media.factory.construct=true"
    factory.add_role_from_structure(Gst.Structure.new_from_string(role))
    server.get_mount_points().add_factory("/live", factory)
    if server.attach(None) == 0:
        sys.exit(f"port {port} is in use")
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, factory.jump)
    GLib.MainLoop().run()


main()
