//! What each preset runs and where it leaves the site: one table.

use freshet_domain::catalogue::Preset;

/// What a preset means where the site does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresetDefaults {
    /// Program and arguments; empty: the site must name them.
    pub command: &'static [&'static str],
    /// The folder of the finished site, below the site's directory; empty: the site must name it.
    pub output: &'static str,
}

/// The table.
pub const fn preset_defaults(preset: Preset) -> PresetDefaults {
    match preset {
        Preset::Builtin | Preset::Custom => PresetDefaults { command: &[], output: "" },
        Preset::Eleventy => PresetDefaults { command: &["npx", "@11ty/eleventy"], output: "_site" },
        Preset::Astro => PresetDefaults { command: &["npx", "astro", "build"], output: "dist" },
        Preset::Hugo => PresetDefaults { command: &["hugo"], output: "public" },
        Preset::Jekyll => PresetDefaults { command: &["bundle", "exec", "jekyll", "build"], output: "_site" },
        Preset::Gatsby => PresetDefaults { command: &["npx", "gatsby", "build"], output: "public" },
        Preset::Nextjs => PresetDefaults { command: &["npx", "next", "build"], output: "out" },
        Preset::Nuxt => PresetDefaults { command: &["npx", "nuxt", "generate"], output: ".output/public" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generator_has_a_command_and_an_output() {
        for preset in Preset::ALL {
            let defaults = preset_defaults(*preset);
            let is_free = matches!(preset, Preset::Builtin | Preset::Custom);
            assert_eq!(defaults.command.is_empty(), is_free, "{preset}");
            assert_eq!(defaults.output.is_empty(), is_free, "{preset}");
        }
    }
}
