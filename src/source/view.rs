//! Clips and streams whose pictures are masked and rotated.

use super::{Clip, ClipInfo, Frame, Stream, Visit};
use crate::Result;
use crate::picture::{ViewPainter, ViewSpec};
use crate::units::Seconds;

/// A source whose pictures are masked and rotated.
struct PaintedSource<S> {
    source: S,
    info: ClipInfo,
    painter: ViewPainter,
}

/// Applies `view` to a clip.
pub(super) fn painted_clip(source: Box<dyn Clip>, view: &ViewSpec) -> Box<dyn Clip> {
    if *view == ViewSpec::default() {
        return source;
    }
    let info = rotated_info(view, source.info().clone());
    Box::new(PaintedSource { source, info, painter: ViewPainter::new(view.clone()) })
}

/// Applies `view` to a stream.
pub(super) fn painted_stream(source: Box<dyn Stream>, view: &ViewSpec) -> Box<dyn Stream> {
    if *view == ViewSpec::default() {
        return source;
    }
    let info = rotated_info(view, source.info().clone());
    Box::new(PaintedSource { source, info, painter: ViewPainter::new(view.clone()) })
}

/// The properties of a source after rotation.
pub(super) fn rotated_info(view: &ViewSpec, info: ClipInfo) -> ClipInfo {
    let (width, height) = view.rotate.display_size((info.width, info.height));
    ClipInfo { width, height, ..info }
}

impl Clip for PaintedSource<Box<dyn Clip>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn frame_count(&mut self) -> Result<u64> {
        let count = self.source.frame_count()?;
        self.info = rotated_info(self.painter.spec(), self.source.info().clone());
        Ok(count)
    }

    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<Visit> {
        let Self { source, painter, .. } = self;
        source.visit(wanted, &mut |frame| {
            let picture = painter.apply(frame.picture)?;
            visit(Frame { picture, ..frame })
        })
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}

impl Stream for PaintedSource<Box<dyn Stream>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        match self.source.first_at_or_after(t)? {
            Some(frame) => Ok(Some(Frame { picture: self.painter.apply(frame.picture)?, ..frame })),
            None => Ok(None),
        }
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}
