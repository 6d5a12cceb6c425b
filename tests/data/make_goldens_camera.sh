#!/bin/sh
# Makes tests/data/camera: one picture in the pixel formats of cameras, repacked by ffmpeg without loss (planar and packed
# formats have the same samples), and a JPEG with the pixels that Pillow (libjpeg-turbo) decodes from it.
# Needs ffmpeg, and python3 with Pillow. Run it in tests/data: ./make_goldens_camera.sh preprocess/cat.png
set -eu
picture=$1
mkdir -p camera
convert() { ffmpeg -loglevel error -y "$@"; }
convert -i "$picture" -vf scale=64:48 -pix_fmt rgb24 -f rawvideo camera/rgb.rgb
raw() { convert -f rawvideo -s 64x48 -pix_fmt "$1" -i "$2" -pix_fmt "$3" -f rawvideo "$4"; }
raw rgb24 camera/rgb.rgb bgr24 camera/rgb.bgr
raw rgb24 camera/rgb.rgb yuv420p camera/s420.yuv
raw yuv420p camera/s420.yuv nv12 camera/s420.nv12
raw rgb24 camera/rgb.rgb yuv422p camera/s422.yuv
raw yuv422p camera/s422.yuv yuyv422 camera/s422.yuyv
python3 - <<'PY'
from PIL import Image
picture = Image.frombytes("RGB", (64, 48), open("camera/rgb.rgb", "rb").read())
# 4:2:2 and standard Huffman tables, as in the JPEGs of cameras.
picture.save("camera/frame.jpg", quality=85, subsampling=1, optimize=False)
open("camera/frame.rgb", "wb").write(Image.open("camera/frame.jpg").convert("RGB").tobytes())
PY
