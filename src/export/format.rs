//! The names of the formats.

mod ass;
mod csv;
mod html;
mod json;
mod json_styles;
mod lrc;
mod srt;
mod tsv;
mod txt;
mod vtt;

use std::fmt;
use std::str::FromStr;

pub use html::{Media, page};

use super::Exporter;
use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Txt,
    Vtt,
    Srt,
    Tsv,
    Json,
    Ass,
    Lrc,
    Csv,
    Html,
}

impl Format {
    /// What `all` stands for: openai's formats in openai's order, then those of others.
    pub const ALL: [Format; 9] = [
        Format::Txt,
        Format::Vtt,
        Format::Srt,
        Format::Tsv,
        Format::Json,
        Format::Ass,
        Format::Lrc,
        Format::Csv,
        Format::Html,
    ];

    pub fn exporter(self) -> &'static dyn Exporter {
        match self {
            Format::Txt => &txt::Txt,
            Format::Vtt => &vtt::Vtt,
            Format::Srt => &srt::Srt,
            Format::Tsv => &tsv::Tsv,
            Format::Json => &json::Json,
            Format::Ass => &ass::Ass,
            Format::Lrc => &lrc::Lrc,
            Format::Csv => &csv::Csv,
            Format::Html => &html::Html,
        }
    }

    /// What the person calls it, which is also how its files end.
    pub fn name(self) -> &'static str {
        self.exporter().extension()
    }

    /// Formats separated by commas, or `all`; each once, in the order given.
    pub fn parse_list(list: &str) -> Result<Vec<Format>, Error> {
        let mut formats = Vec::new();
        for name in list.split(',').map(str::trim) {
            let named = match name.eq_ignore_ascii_case("all") {
                true => Format::ALL.to_vec(),
                false => vec![name.parse()?],
            };
            formats.extend(named);
        }
        let mut seen = Vec::new();
        formats.retain(|format| {
            let new = !seen.contains(format);
            seen.push(*format);
            new
        });
        Ok(formats)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Format::ALL.into_iter().find(|format| name.eq_ignore_ascii_case(format.name()));
        known.ok_or_else(|| {
            let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            let near =
                names.iter().find(|known| strsim::damerau_levenshtein(known, &name.to_lowercase()) == 1);
            let near = near.map(|known| format!("did you mean `{known}`? ")).unwrap_or_default();
            Error::Usage {
                what: "`--export`".into(),
                why: format!("`{name}` is no format"),
                hint: Some(format!("{near}known are {} and all, separated by commas", names.join(", "))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_name_each_format_once() {
        assert_eq!(Format::parse_list("srt, VTT,srt").unwrap(), [Format::Srt, Format::Vtt]);
        assert_eq!(Format::parse_list("all").unwrap(), Format::ALL);
        assert_eq!(Format::parse_list("json,all").unwrap()[..2], [Format::Json, Format::Txt]);
    }

    #[test]
    fn an_unknown_name_is_told_with_those_known() {
        for list in ["", "srt,", "doc", "srt vtt"] {
            let error = Format::parse_list(list).unwrap_err();
            assert!(error.to_string().ends_with("is no format"), "{error}");
            assert!(error.hint().unwrap().contains("txt, vtt, srt, tsv, json, ass, lrc, csv, html and all"));
        }
    }
}
