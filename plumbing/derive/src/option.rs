//! One option: the contents of its `#[arg(…)]`, and the code that follows from them.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, Expr, ExprCall, ExprPath, Field, Ident, Lit, Meta, Result};

use crate::shape::{self, Shape};
use crate::{literal, metas};

/// Attributes for help, or about lines that the short way leaves to clap anyway: repeated options and values that begin
/// with a dash.
const WITHOUT_EFFECT: &[&str] = &[
    "value_name",
    "help_heading",
    "help",
    "hide",
    "hide_possible_values",
    "default_value",
    "default_value_t",
    "allow_negative_numbers",
];

/// Attributes that act only on a line with the option: clap alone reads such a line. An attribute that acts on a line
/// *without* the option (`required_unless_present`, `default_value_if`, `env`, …) must never be added to this list.
const FOR_CLAP_ALONE: &[&str] =
    &["action", "allow_hyphen_values", "group", "num_args", "trailing_var_arg", "value_names", "value_parser"];

const MUST_BE_GIVEN: &str = "the short way does not miss what must be given: leave this struct to clap";

/// The function that converts a word to a value.
enum Parser {
    /// `value_parser = read`, for text.
    Text(Expr),
    /// `value_parser = of_os(read)`, for any bytes.
    Any(Expr),
}

/// An option as it is declared.
pub(crate) struct Declaration<'a> {
    field: &'a Ident,
    shape: Shape<'a>,
    short: Option<char>,
    longs: Vec<String>,
    takes_the_rest: bool,
    is_value_after_equals_only: bool,
    missing_value: Option<Expr>,
    parser: Option<Parser>,
    requires: Vec<TokenStream>,
    conflicts: Vec<TokenStream>,
    is_for_clap_alone: bool,
    is_required: bool,
}

impl<'a> Declaration<'a> {
    pub(crate) fn read(field: &'a Field) -> Result<Declaration<'a>> {
        let name = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "options have names"))?;
        let mut declaration = Declaration {
            field: name,
            shape: Shape::of(&field.ty),
            short: None,
            longs: Vec::new(),
            takes_the_rest: false,
            is_value_after_equals_only: false,
            missing_value: None,
            parser: None,
            requires: Vec::new(),
            conflicts: Vec::new(),
            is_for_clap_alone: false,
            is_required: false,
        };
        let metas = metas(field, "arg")?;
        let has_default = metas.iter().any(|meta| {
            let path = meta.path();
            path.is_ident("default_value") || path.is_ident("default_value_t")
        });
        if matches!(declaration.shape, Shape::Always(_)) && !has_default {
            return Err(Error::new_spanned(field, MUST_BE_GIVEN));
        }
        metas.into_iter().try_for_each(|meta| declaration.learn(meta))?;
        Ok(declaration)
    }

    fn learn(&mut self, meta: Meta) -> Result<()> {
        let key = meta.path().to_token_stream().to_string();
        let value = match &meta {
            Meta::NameValue(pair) => Some(&pair.value),
            _ => None,
        };
        match (key.as_str(), value) {
            ("short", None) => self.short = self.field.to_string().chars().next(),
            ("short", Some(value)) => match literal(value) {
                Some(Lit::Char(letter)) => self.short = Some(letter.value()),
                _ => self.is_for_clap_alone = true,
            },
            ("long", None) => self.longs.push(self.field.to_string().replace('_', "-")),
            ("long" | "visible_alias", Some(value)) => match literal(value) {
                Some(Lit::Str(name)) => self.longs.push(name.value()),
                _ => self.is_for_clap_alone = true,
            },
            ("trailing_var_arg", Some(_)) => self.takes_the_rest = true,
            // `num_args = 0..=1` is known from this attribute, or from the shape.
            ("num_args", Some(value)) if value.to_token_stream().to_string() == "0 ..= 1" => {}
            // A list does this anyway.
            ("action", Some(Expr::Path(action))) if self.is_list() && ends_with(action, "Append") => {}
            ("require_equals", Some(_)) => self.is_value_after_equals_only = true,
            ("default_missing_value", Some(value)) => self.missing_value = Some(value.clone()),
            ("value_parser", Some(value @ Expr::Path(_))) => self.parser = Some(Parser::Text(value.clone())),
            ("value_parser", Some(Expr::Call(call))) if is_of_os(call) => {
                self.parser = call.args.first().cloned().map(Parser::Any);
            }
            ("requires", Some(value)) => self.requires.push(quote!(&[#value])),
            ("conflicts_with", Some(value)) => self.conflicts.push(quote!(&[#value])),
            ("conflicts_with_all", Some(value)) => self.conflicts.push(quote!(&#value)),
            ("required", Some(value)) if matches!(literal(value), Some(Lit::Bool(yes)) if yes.value) => {
                self.is_required = true;
            }
            ("required", _) => {
                return Err(Error::new_spanned(meta, MUST_BE_GIVEN));
            }
            // The short way leaves repeated options to clap, whatever they override; overriding another option is
            // unknown to it.
            ("overrides_with", Some(value)) if matches!(literal(value), Some(Lit::Str(id)) if id.value() == self.id()) =>
                {}
            (other, _) if WITHOUT_EFFECT.contains(&other) => {}
            (other, _) if FOR_CLAP_ALONE.contains(&other) => self.is_for_clap_alone = true,
            (other, _) => return Err(Error::new_spanned(&meta, unknown(other))),
        }
        Ok(())
    }

    /// clap's name for the option.
    pub(crate) fn id(&self) -> String {
        self.field.to_string()
    }

    /// Whether a line without the option is an error, which clap reports.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    fn is_list(&self) -> bool {
        matches!(self.shape, Shape::List(_))
    }

    /// The command at the end of the line.
    pub(crate) fn takes_the_rest(&self) -> bool {
        self.takes_the_rest && matches!(&self.shape, Shape::List(item) if shape::is(item, "OsString"))
    }

    /// Returns a match arm from its names to its declaration; `None` if clap alone can read it.
    pub(crate) fn to_declared(&self) -> Option<TokenStream> {
        let longs = self.longs.iter().map(|it| quote!(Name::Long(#it)));
        let names: Vec<_> = longs.chain(self.short.map(|it| quote!(Name::Short(#it)))).collect();
        if self.is_for_clap_alone || names.is_empty() || (self.value().is_none() && !matches!(self.shape, Shape::Flag))
        {
            return None;
        }
        let takes = match (&self.shape, self.is_value_after_equals_only) {
            (Shape::Flag, _) => quote!(Nothing),
            (Shape::MaybeWith(_), true) => quote!(MayTake),
            (Shape::Maybe(_), true) if self.missing_value.is_some() => quote!(MayTake),
            (Shape::MaybeWith(_), false) | (_, true) => return None,
            (Shape::List(_), false) => quote!(Values),
            (_, false) => quote!(Value),
        };
        let (id, requires, conflicts) = (self.id(), &self.requires, &self.conflicts);
        Some(quote! {
            #(#names)|* => Some(&Declared {
                id: #id,
                takes: Takes::#takes,
                requires: &[#(#requires),*],
                conflicts: &[#(#conflicts),*],
            }),
        })
    }

    /// Returns a match arm from its id to the field that it changes.
    pub(crate) fn to_setter(&self) -> TokenStream {
        let (field, id, value) = (self.field, self.id(), self.value());
        let missing = match &self.missing_value {
            Some(text) => quote!(.or(Some(::std::ffi::OsStr::new(#text)))),
            None => quote!(),
        };
        let change = match &self.shape {
            Shape::Flag => quote!(self.#field = true),
            Shape::Maybe(_) => quote!(let value = value #missing?; self.#field = Some(#value)),
            Shape::MaybeWith(_) => {
                quote!(self.#field = Some(match value #missing { Some(value) => Some(#value), None => None }))
            }
            Shape::List(_) => quote!(let value = value?; self.#field.push(#value)),
            Shape::Always(_) => quote!(let value = value?; self.#field = #value),
        };
        quote!(#id => { #change; Some(()) })
    }

    /// Returns the conversion of `value`, an `&OsStr`, to the type of the field; `None` if only clap can read it.
    fn value(&self) -> Option<TokenStream> {
        let (Shape::Maybe(ty) | Shape::MaybeWith(ty) | Shape::List(ty) | Shape::Always(ty)) = self.shape else {
            return None;
        };
        match &self.parser {
            Some(Parser::Text(read)) => Some(quote!(#read(value.to_str()?).ok()?)),
            Some(Parser::Any(read)) => Some(quote!(#read(value).ok()?)),
            None if ["OsString", "PathBuf"].iter().any(|name| shape::is(ty, name)) => Some(quote!(value.into())),
            None if shape::is(ty, "String") => Some(quote!(value.to_str()?.into())),
            None => None,
        }
    }
}

/// Returns why an attribute is an error.
pub(crate) fn unknown(attribute: &str) -> String {
    format!(
        "the short way through argv does not know the attribute `{attribute}`: say in plumbing/derive what it means for a \
         command line with and without this option"
    )
}

fn is_of_os(call: &ExprCall) -> bool {
    matches!(&*call.func, Expr::Path(function) if ends_with(function, "of_os"))
}

fn ends_with(path: &ExprPath, name: &str) -> bool {
    path.path.segments.last().is_some_and(|last| last.ident == name)
}
