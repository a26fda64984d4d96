//! Feature maps as convolutions read them.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::buffer_pool::{self, Workspace};

/// A feature map `[N, C, plane]`: the channels of one tensor or of two, as they are or rectified.
///
/// What joins a skip connection and what activates is part of reading, so neither takes a pass over memory.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Map<'a> {
    first: Part<'a>,
    second: Part<'a>,
    /// What values below zero are multiplied by; 1 leaves all as they are.
    slope: f32,
}

#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    channels: usize,
}

impl<'a> Map<'a> {
    /// A single tensor of `channels` channels, rectified.
    pub(in crate::kernels) fn rectified(values: &'a [f32], channels: usize, slope: f32) -> Self {
        Self::joined([(values, channels), (&[], 0)], slope)
    }

    /// A single tensor as it is.
    pub(in crate::kernels) fn plain(values: &'a [f32], channels: usize) -> Self {
        Self::rectified(values, channels, 1.0)
    }

    /// The channels of the first tensor, then those of the second, rectified.
    pub(in crate::kernels) fn joined([first, second]: [(&'a [f32], usize); 2], slope: f32) -> Self {
        let part = |(values, channels)| Part { values, channels };
        Self { first: part(first), second: part(second), slope }
    }

    /// One channel of `plane` values, not yet rectified.
    #[inline(always)]
    pub(in crate::kernels) fn plane(&self, plane: usize, picture: usize, channel: usize) -> &'a [f32] {
        let (part, channel) = match channel.checked_sub(self.first.channels) {
            Some(channel) => (&self.second, channel),
            None => (&self.first, channel),
        };
        &part.values[(picture * part.channels + channel) * plane..][..plane]
    }

    /// Rectifies values that were copied from a plane.
    #[inline(always)]
    pub(in crate::kernels) fn rectify(&self, values: &mut [f32]) {
        if self.slope != 1.0 {
            values
                .iter_mut()
                .for_each(|value| *value = if *value > 0.0 { *value } else { self.slope * *value });
        }
    }

    /// The values as they lie in memory, if those are the map.
    pub(in crate::kernels) fn in_place(&self) -> Option<&'a [f32]> {
        (self.second.channels == 0 && self.slope == 1.0).then_some(self.first.values)
    }

    /// Some of the channels of all pictures, as they are.
    pub(in crate::kernels) fn channels(
        &self,
        plane: usize,
        pictures: usize,
        range: Range<usize>,
    ) -> Vec<f32> {
        let mut out = buffer_pool::take(pictures * range.len() * plane);
        out.par_chunks_mut(plane).enumerate().for_each(|(index, out)| {
            let (picture, channel) = (index / range.len(), index % range.len());
            out.copy_from_slice(self.plane(plane, picture, range.start + channel));
        });
        out
    }

    /// The map as one tensor.
    pub(in crate::kernels) fn settle(&self, plane: usize) -> Settled<'a> {
        if let Some(values) = self.in_place() {
            return Settled::InPlace(values);
        }
        let channels = self.first.channels + self.second.channels;
        let mut copy = Workspace::new(self.first.values.len() + self.second.values.len());
        copy.par_chunks_mut(plane).enumerate().for_each(|(index, out)| {
            out.copy_from_slice(self.plane(plane, index / channels, index % channels));
            self.rectify(out);
        });
        Settled::Copied(copy)
    }
}

/// A map as one tensor.
pub(in crate::kernels) enum Settled<'a> {
    InPlace(&'a [f32]),
    Copied(Workspace),
}

impl std::ops::Deref for Settled<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::InPlace(values) => values,
            Self::Copied(values) => values,
        }
    }
}
