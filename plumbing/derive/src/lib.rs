//! `#[derive(Ordinary)]`: reads the same `#[arg(…)]` as clap's derive, so that each option is declared in one place.
//! See `plumbing::command_line::ordinary` for the use and the reasons.
//!
//! An attribute that the short way does not know is a compile error, since it may act on command lines without its
//! option as well. An attribute that acts only on lines with its option makes that an option for clap alone: the short
//! way does not take it, and clap reads such a line.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, Expr, Field, Ident, Lit, Meta, Result, Token, Type, parse_macro_input};

mod option;
mod shape;

use option::Declaration;

/// Attributes of a struct about names, explanations or abbreviations in clap; the short way reads only whole names,
/// each option once.
const OF_STRUCT: &[&str] = &[
    "after_help",
    "args_override_self",
    "bin_name",
    "display_name",
    "infer_long_args",
    "mut_arg",
    "name",
    "next_help_heading",
    "override_usage",
    "version",
];

/// Implements `plumbing::command_line::ordinary::Ordinary`; the struct has to be `Default` as well.
#[proc_macro_derive(Ordinary, attributes(arg, command, group))]
pub fn ordinary(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// The declarations of the fields of a struct, each as a piece of code.
struct Fields<'a> {
    declared: Vec<TokenStream>,
    set: Vec<TokenStream>,
    required: Vec<String>,
    nested: Vec<(&'a Option<Ident>, &'a Type)>,
    rest: TokenStream,
}

impl<'a> Fields<'a> {
    fn read(input: &'a DeriveInput) -> Result<Fields<'a>> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new_spanned(input, "only a struct has options"));
        };
        let syn::Fields::Named(named) = &data.fields else {
            return Err(Error::new_spanned(input, "options have names"));
        };
        let (declared, set, required, nested) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut fields = Fields { declared, set, required, nested, rest: quote!(None) };
        named.named.iter().try_for_each(|field| fields.add(field))?;
        Ok(fields)
    }

    fn add(&mut self, field: &'a Field) -> Result<()> {
        let name = &field.ident;
        if is(field, "flatten")? {
            self.nested.push((name, &field.ty));
            return Ok(());
        }
        if is(field, "subcommand")? {
            self.rest =
                quote!({ self.#name = Some(::plumbing::command_line::ordinary::Choice::choose(words)?); Some("") });
            return Ok(());
        }
        let declaration = Declaration::read(field)?;
        if declaration.takes_the_rest() {
            let id = declaration.id();
            self.rest = quote!({ self.#name = words.to_vec(); Some(#id) });
        }
        if declaration.is_required() {
            self.required.push(declaration.id());
        }
        if let Some(known) = declaration.to_declared() {
            self.declared.push(known);
            self.set.push(declaration.to_setter());
        }
        Ok(())
    }
}

fn implement(input: &DeriveInput) -> Result<TokenStream> {
    require_known(&input.attrs)?;
    let Fields { declared, set, required, nested, rest } = Fields::read(input)?;
    let (nested_names, nested_types): (Vec<_>, Vec<_>) = nested.into_iter().unzip();
    let struct_name = &input.ident;
    Ok(quote! {
        impl ::plumbing::command_line::ordinary::Ordinary for #struct_name {
            fn declared(name: ::plumbing::command_line::ordinary::Name<'_>) -> Option<&'static ::plumbing::command_line::ordinary::Declared> {
                use ::plumbing::command_line::ordinary::{Declared, Name, Takes};
                match name {
                    #(#declared)*
                    _ => None #(.or_else(|| <#nested_types as ::plumbing::command_line::ordinary::Ordinary>::declared(name)))*,
                }
            }

            fn set(&mut self, id: &str, value: Option<&::std::ffi::OsStr>) -> Option<()> {
                match id {
                    #(#set)*
                    _ => None #(.or_else(|| self.#nested_names.set(id, value)))*,
                }
            }

            fn has_required(is_given: &dyn Fn(&str) -> bool) -> bool {
                #(is_given(#required) &&)* #(<#nested_types as ::plumbing::command_line::ordinary::Ordinary>::has_required(is_given) &&)* true
            }

            fn take_rest(&mut self, words: &[::std::ffi::OsString]) -> Option<&'static str> {
                #rest
            }
        }
    })
}

/// Refuses settings of a struct for clap that the short way does not know, such as a group of which one option is
/// required.
fn require_known(attributes: &[Attribute]) -> Result<()> {
    let said = |name: &'static str| attributes.iter().filter(move |attribute| attribute.path().is_ident(name));
    if let Some(group) = said("group").next() {
        return Err(Error::new_spanned(group, option::unknown("group")));
    }
    for attribute in said("command") {
        for meta in attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            let name = meta.path().to_token_stream().to_string();
            if !OF_STRUCT.contains(&name.as_str()) {
                return Err(Error::new_spanned(&meta, option::unknown(&name)));
            }
        }
    }
    Ok(())
}

fn is(field: &Field, what: &str) -> Result<bool> {
    Ok(metas(field, "command")?.iter().any(|meta| meta.path().is_ident(what)))
}

/// Returns the contents of `#[arg(…)]`, or of `#[command(…)]`.
fn metas(field: &Field, attribute: &str) -> Result<Vec<Meta>> {
    let mut metas = Vec::new();
    for found in field.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
        metas.extend(found.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(metas)
}

/// Returns the expression as a literal.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(input: &str) -> String {
        let input = syn::parse_str(input).unwrap_or_else(|error| panic!("{input}: {error}"));
        implement(&input).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn attributes_that_act_on_lines_without_the_option_are_refused() {
        for attribute in [
            "required_unless_present = \"b\"",
            "required_if_eq(\"b\", \"c\")",
            "default_value_if(\"b\", \"c\", \"d\")",
            "default_values_t = [1]",
            "env",
            "exclusive = true",
            "global = true",
            "overrides_with = \"b\"",
        ] {
            let error = error_of(&format!("struct Options {{ #[arg(long, {attribute})] a: Option<String> }}"));
            assert!(error.contains("does not know the attribute"), "{attribute}: {error:?}");
        }
        for attribute in ["#[group(required = true)]", "#[command(arg_required_else_help = true)]"] {
            let error = error_of(&format!("{attribute} struct Options {{ #[arg(long)] a: Option<String> }}"));
            assert!(error.contains("does not know the attribute"), "{attribute}: {error:?}");
        }
    }

    #[test]
    fn attributes_in_use_are_accepted() {
        for attribute in
            ["value_name = \"A\"", "group = \"one\"", "num_args = 2", "overrides_with = \"a\"", "requires = \"b\""]
        {
            assert_eq!(error_of(&format!("struct Options {{ #[arg(long, {attribute})] a: Option<String> }}")), "");
        }
    }
}
