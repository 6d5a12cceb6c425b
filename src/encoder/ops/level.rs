//! Which vector instructions this processor has for f32 work, and functions compiled once for each.

/// A set of vector instructions. A value of this type is proof that the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Instructions);

/// See [`Level`]; matched on by [`by_level`], and only made by [`Level::detect`] and [`Level::BASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// AVX-512 F, BW, DQ, VL and everything below.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the target always has: NEON on aarch64, SSE2 on x86-64.
    Base,
}

impl Level {
    /// What every processor of this target has.
    pub(crate) const BASE: Self = Self(Instructions::Base);

    /// The best of this processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (avx2, avx512) {
                (true, true) => return Self(Instructions::Avx512),
                (true, false) => return Self(Instructions::Avx2),
                _ => {}
            }
        }
        Self::BASE
    }

    /// AVX2 where this processor has it, for a run that is kept from AVX-512.
    #[cfg(any(target_arch = "x86_64", test))]
    pub(crate) fn at_most_avx2(self) -> Self {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Instructions::Avx512 {
            return Self(Instructions::Avx2);
        }
        self
    }

    pub(crate) fn instructions(self) -> Instructions {
        self.0
    }
}

/// Defines a function `name(level, ...)` that runs one of three bodies, each compiled for its instructions:
/// `avx512`, `avx2` and `base` name `#[inline(always)]` functions of the same arguments.
macro_rules! by_level {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
     avx512 = $avx512:expr, avx2 = $avx2:expr, base = $base:expr) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(level: $crate::encoder::ops::level::Level, $($arg: $ty),*) $(-> $ret)? {
            use $crate::encoder::ops::level::Instructions;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $avx512($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $avx2($($arg),*)
            }
            match level.instructions() {
                // SAFETY: a Level of this kind is only made after these features were detected.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { avx2($($arg),*) },
                Instructions::Base => $base($($arg),*),
            }
        }
    };
}
pub(crate) use by_level;
