//! Applies masks and rotation to clips and streams.

use super::{Clip, ClipInfo, Frame, Stream, VisitOutcome};
use crate::Result;
use crate::picture::{PictureTransform, PictureTransformer};
use crate::units::Seconds;

/// A source whose pictures are masked and rotated.
struct TransformedSource<S> {
    source: S,
    info: ClipInfo,
    transformer: PictureTransformer,
}

/// Applies `transform` to a clip.
pub(super) fn transformed_clip(source: Box<dyn Clip>, transform: &PictureTransform) -> Box<dyn Clip> {
    if *transform == PictureTransform::default() {
        return source;
    }
    let info = rotated_info(transform, source.info().clone());
    Box::new(TransformedSource { source, info, transformer: PictureTransformer::new(transform.clone()) })
}

/// Applies `transform` to a stream.
pub(super) fn transformed_stream(source: Box<dyn Stream>, transform: &PictureTransform) -> Box<dyn Stream> {
    if *transform == PictureTransform::default() {
        return source;
    }
    let info = rotated_info(transform, source.info().clone());
    Box::new(TransformedSource { source, info, transformer: PictureTransformer::new(transform.clone()) })
}

/// Returns the properties of a source after rotation.
pub(super) fn rotated_info(transform: &PictureTransform, info: ClipInfo) -> ClipInfo {
    let (width, height) = transform.rotate.display_size((info.width, info.height));
    ClipInfo { width, height, ..info }
}

impl Clip for TransformedSource<Box<dyn Clip>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn frame_count(&mut self) -> Result<u64> {
        let count = self.source.frame_count()?;
        self.info = rotated_info(self.transformer.spec(), self.source.info().clone());
        Ok(count)
    }

    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<VisitOutcome> {
        let Self { source, transformer, .. } = self;
        source.visit(wanted, &mut |frame| {
            let picture = transformer.apply(frame.picture)?;
            visit(Frame { picture, ..frame })
        })
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}

impl Stream for TransformedSource<Box<dyn Stream>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        match self.source.first_at_or_after(t)? {
            Some(frame) => Ok(Some(Frame { picture: self.transformer.apply(frame.picture)?, ..frame })),
            None => Ok(None),
        }
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}
