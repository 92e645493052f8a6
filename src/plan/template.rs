//! Templates for the names of outputs: `{parent}/{stem}.{language}.{ext}`.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use crate::error::Error;

/// What a template can contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateField {
    /// The file name without its extension.
    Stem,
    /// The file name.
    Name,
    /// The folder of the file.
    Parent,
    /// The folders between the one that was named and the file.
    Dir,
    /// The extension of the format.
    Ext,
    Language,
    Model,
    /// The day on which the recording was modified.
    Date,
    Task,
    /// Its id in the manifest.
    Id,
    /// The number of the input, from 1.
    Index,
}

const FIELDS: [(&str, TemplateField); 11] = [
    ("stem", TemplateField::Stem),
    ("name", TemplateField::Name),
    ("parent", TemplateField::Parent),
    ("dir", TemplateField::Dir),
    ("ext", TemplateField::Ext),
    ("language", TemplateField::Language),
    ("model", TemplateField::Model),
    ("date", TemplateField::Date),
    ("task", TemplateField::Task),
    ("id", TemplateField::Id),
    ("index", TemplateField::Index),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Field(TemplateField),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

impl Template {
    /// Returns whether names depend on the number of the input.
    pub fn uses_index(&self) -> bool {
        self.0.contains(&TemplatePart::Field(TemplateField::Index))
    }

    /// Fills in the value of each field. A field whose value is not known yet divides the name into pieces.
    pub fn fill<E>(
        &self,
        value: impl Fn(TemplateField) -> Result<Option<OsString>, E>,
    ) -> Result<Vec<OsString>, E> {
        let (mut pieces, mut piece) = (Vec::new(), OsString::new());
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => piece.push(OsStr::new(text)),
                TemplatePart::Field(field) => match value(*field)? {
                    Some(value) => piece.push(value),
                    None => pieces.push(std::mem::take(&mut piece)),
                },
            }
        }
        pieces.push(piece);
        Ok(pieces)
    }
}

impl FromStr for Template {
    type Err = Error;

    /// Parses fields in braces; `{{` is a brace. Appends `{ext}` to a template without it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut parts, mut text_part) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            text_part.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                text_part.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let name = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = name else {
                return Err(invalid(text, "a brace is not closed", "write `{{` for a literal brace"));
            };
            parts.push(TemplatePart::Text(std::mem::take(&mut text_part)));
            parts.push(TemplatePart::Field(field(text, name)?));
            rest = after;
        }
        text_part.push_str(rest);
        parts.push(TemplatePart::Text(text_part));
        if !parts.contains(&TemplatePart::Field(TemplateField::Ext)) {
            parts.push(TemplatePart::Text(".".into()));
            parts.push(TemplatePart::Field(TemplateField::Ext));
        }
        parts.retain(|part| *part != TemplatePart::Text(String::new()));
        if text.is_empty() || text.ends_with('/') {
            return Err(invalid(
                text,
                "names a folder",
                "end it with a file name, for example `{stem}.{ext}`",
            ));
        }
        Ok(Template(parts))
    }
}

fn field(template: &str, name: &str) -> Result<TemplateField, Error> {
    let known = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    known.ok_or_else(|| {
        let near = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
        let nearest = FIELDS.iter().max_by(|a, b| near(a.0).total_cmp(&near(b.0)));
        let nearest = nearest.filter(|(known, _)| near(known) > 0.6);
        let nearest = nearest.map(|(known, _)| format!("did you mean `{{{known}}}`? ")).unwrap_or_default();
        let names: Vec<String> = FIELDS.iter().map(|(known, _)| format!("{{{known}}}")).collect();
        let hint = format!("{nearest}valid fields are {}", names.join(", "));
        invalid(template, &format!("unknown field `{{{name}}}`"), &hint)
    })
}

fn invalid(template: &str, why: &str, hint: &str) -> Error {
    Error::Usage { what: format!("`--output-template {template}`"), why: why.into(), hint: Some(hint.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let value = |field: TemplateField| Ok::<_, Error>(Some(OsString::from(format!("<{field:?}>"))));
        template.parse::<Template>().unwrap().fill(value).unwrap().remove(0).into_string().unwrap()
    }

    #[test]
    fn fills_in_fields_and_unescapes_braces() {
        assert_eq!(filled("{parent}/{stem}.{ext}"), "<Parent>/<Stem>.<Ext>");
        assert_eq!(filled("{{{stem}}}"), "{<Stem>}.<Ext>");
        assert_eq!(filled("{date}-x"), "<Date>-x.<Ext>");
        for (name, field) in FIELDS {
            assert!(filled(&format!("a{{{name}}}")).starts_with(&format!("a<{field:?}>")));
        }
    }

    #[test]
    fn unknown_fields_are_reported_with_the_nearest() {
        let fault = |template: &str| {
            let error = template.parse::<Template>().unwrap_err();
            format!("{error}; {}", error.hint().unwrap())
        };
        assert!(
            fault("{stm}").contains("unknown field `{stm}`; did you mean `{stem}`?"),
            "{}",
            fault("{stm}")
        );
        assert!(fault("{}").contains("valid fields are {stem}"));
        for wrong in ["{stem", "stem}", "a{b{c}"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
        assert!(fault("out/").contains("names a folder") && fault("").contains("names a folder"));
    }
}
