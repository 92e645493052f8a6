//! Names of outputs by a pattern of the person's own: `{parent}/{stem}.{language}.{ext}`.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use crate::error::Error;

/// What the names of outputs can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The file's name without its ending.
    Stem,
    /// The file's name.
    Name,
    /// The folder that the file lies in.
    Parent,
    /// The folders between the one that was named and the file.
    Dir,
    /// How files of the format end.
    Ext,
    Language,
    Model,
    /// The day on which the recording was last changed.
    Date,
    Task,
    /// What the manifest calls it.
    Id,
    /// The number of the input, from 1.
    Index,
}

const FIELDS: [(&str, Field); 11] = [
    ("stem", Field::Stem),
    ("name", Field::Name),
    ("parent", Field::Parent),
    ("dir", Field::Dir),
    ("ext", Field::Ext),
    ("language", Field::Language),
    ("model", Field::Model),
    ("date", Field::Date),
    ("task", Field::Task),
    ("id", Field::Id),
    ("index", Field::Index),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// A pattern that can be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl Template {
    /// Whether names depend on how many inputs came before.
    pub fn counts(&self) -> bool {
        self.0.contains(&Piece::Field(Field::Index))
    }

    /// The name; what a field stands for is asked for one by one.
    pub fn fill<E>(&self, value: impl Fn(Field) -> Result<OsString, E>) -> Result<OsString, E> {
        let mut name = OsString::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push(OsStr::new(text)),
                Piece::Field(field) => name.push(value(*field)?),
            }
        }
        Ok(name)
    }
}

impl FromStr for Template {
    type Err = Error;

    /// Fields stand in braces; `{{` is a brace. A name without `{ext}` gets it at its end.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let name = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = name else {
                return Err(wrong(text, "a brace has no partner", "write `{{` for one that is meant"));
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(field(text, name)?));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        if !pieces.contains(&Piece::Field(Field::Ext)) {
            pieces.push(Piece::Text(".".into()));
            pieces.push(Piece::Field(Field::Ext));
        }
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        if text.is_empty() || text.ends_with('/') {
            return Err(wrong(text, "names no file", "end it with a name, for example `{stem}.{ext}`"));
        }
        Ok(Template(pieces))
    }
}

fn field(template: &str, name: &str) -> Result<Field, Error> {
    let known = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    known.ok_or_else(|| {
        let near = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
        let nearest = FIELDS.iter().max_by(|a, b| near(a.0).total_cmp(&near(b.0)));
        let nearest = nearest.filter(|(known, _)| near(known) > 0.6);
        let nearest = nearest.map(|(known, _)| format!("did you mean `{{{known}}}`? ")).unwrap_or_default();
        let names: Vec<String> = FIELDS.iter().map(|(known, _)| format!("{{{known}}}")).collect();
        let hint = format!("{nearest}known are {}", names.join(", "));
        wrong(template, &format!("`{{{name}}}` stands for nothing"), &hint)
    })
}

fn wrong(template: &str, why: &str, hint: &str) -> Error {
    Error::Usage { what: format!("`--output-template {template}`"), why: why.into(), hint: Some(hint.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let value = |field: Field| Ok::<_, Error>(OsString::from(format!("<{field:?}>")));
        template.parse::<Template>().unwrap().fill(value).unwrap().into_string().unwrap()
    }

    #[test]
    fn fields_are_filled_in_and_braces_escaped() {
        assert_eq!(filled("{parent}/{stem}.{ext}"), "<Parent>/<Stem>.<Ext>");
        assert_eq!(filled("{{{stem}}}"), "{<Stem>}.<Ext>");
        assert_eq!(filled("{date}-x"), "<Date>-x.<Ext>");
        for (name, field) in FIELDS {
            assert!(filled(&format!("a{{{name}}}")).starts_with(&format!("a<{field:?}>")));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_what_is_near() {
        let fault = |template: &str| {
            let error = template.parse::<Template>().unwrap_err();
            format!("{error}; {}", error.hint().unwrap())
        };
        assert!(
            fault("{stm}").contains("`{stm}` stands for nothing; did you mean `{stem}`?"),
            "{}",
            fault("{stm}")
        );
        assert!(fault("{}").contains("known are {stem}"));
        for wrong in ["{stem", "stem}", "a{b{c}"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
        assert!(fault("out/").contains("names no file") && fault("").contains("names no file"));
    }
}
