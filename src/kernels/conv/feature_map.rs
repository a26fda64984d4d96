//! Feature maps that convolutions concatenate and activate as they read them.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::activation::Activation;
use crate::kernels::buffer_pool::{self, Buffer};

/// A feature map `[N, C, plane]` made of the channels of one or two tensors, after an activation.
///
/// Concatenating a skip connection and applying the activation are fused into the read, so neither costs a pass over
/// memory.
#[derive(Clone, Copy)]
pub(crate) struct FeatureMap<'a> {
    first: Part<'a>,
    second: Part<'a>,
    /// The factor that multiplies negative values: 1 without an activation.
    slope: f32,
}

#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    channels: usize,
}

impl<'a> FeatureMap<'a> {
    /// Reads a single tensor of `channels` channels.
    pub(crate) fn new(values: &'a [f32], channels: usize, activation: Activation) -> Self {
        Self::concatenated([(values, channels), (&[], 0)], activation)
    }

    /// Reads the channels of the first tensor, then those of the second; each tensor comes with its channels.
    pub(crate) fn concatenated([first, second]: [(&'a [f32], usize); 2], activation: Activation) -> Self {
        let part = |(values, channels)| Part { values, channels };
        Self { first: part(first), second: part(second), slope: activation.slope() }
    }

    /// Returns one channel of `plane` values, before the activation.
    #[inline(always)]
    pub(crate) fn plane(&self, plane: usize, image: usize, channel: usize) -> &'a [f32] {
        let (part, channel) = match channel.checked_sub(self.first.channels) {
            Some(channel) => (&self.second, channel),
            None => (&self.first, channel),
        };
        &part.values[(image * part.channels + channel) * plane..][..plane]
    }

    /// Applies the activation to values that were copied from a plane.
    #[inline(always)]
    pub(crate) fn activate(&self, values: &mut [f32]) {
        if self.slope != 1.0 {
            values
                .iter_mut()
                .for_each(|value| *value = if *value > 0.0 { *value } else { self.slope * *value });
        }
    }

    /// Returns the map without a copy, if it is a single tensor without an activation.
    pub(crate) fn in_place(&self) -> Option<&'a [f32]> {
        (self.second.channels == 0 && self.slope == 1.0).then_some(self.first.values)
    }

    /// Returns a copy of a range of channels of all images, before the activation.
    pub(crate) fn channels(&self, plane: usize, images: usize, range: Range<usize>) -> Vec<f32> {
        let mut out = buffer_pool::take(images * range.len() * plane);
        out.par_chunks_mut(plane).enumerate().for_each(|(index, out)| {
            let (image, channel) = (index / range.len(), index % range.len());
            out.copy_from_slice(self.plane(plane, image, range.start + channel));
        });
        out
    }

    /// Returns the map as one tensor, copied only if it has two parts or an activation.
    pub(crate) fn materialize(&self, plane: usize) -> Materialized<'a> {
        if let Some(values) = self.in_place() {
            return Materialized::InPlace(values);
        }
        let channels = self.first.channels + self.second.channels;
        let mut copy = Buffer::new(self.first.values.len() + self.second.values.len());
        copy.par_chunks_mut(plane).enumerate().for_each(|(index, out)| {
            out.copy_from_slice(self.plane(plane, index / channels, index % channels));
            self.activate(out);
        });
        Materialized::Copied(copy)
    }
}

/// A feature map as one tensor.
pub(crate) enum Materialized<'a> {
    InPlace(&'a [f32]),
    Copied(Buffer),
}

impl std::ops::Deref for Materialized<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::InPlace(values) => values,
            Self::Copied(values) => values,
        }
    }
}
