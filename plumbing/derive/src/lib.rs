//! `#[derive(Ordinary)]`: reads the same `#[arg(…)]` that clap's derive reads, so that the options stay declared in one
//! place. What `plumbing::ordinary` does with it, and why, stands there.
//!
//! An attribute that is not known here makes its option one for clap alone: the short way does not take it, and a
//! command line that has it goes the long way. So nothing that clap can do has to be known here.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, Lit, Meta, Result, Token, parse_macro_input};

mod option;
mod shape;

use option::Declaration;

/// Implements `plumbing::ordinary::Ordinary`; the struct has to be `Default` as well.
#[proc_macro_derive(Ordinary, attributes(arg, command))]
pub fn ordinary(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn implement(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else { return Err(Error::new_spanned(input, "only a struct has options")) };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(input, "options have names"));
    };
    let (mut declared, mut set, mut nested, mut rest) = (Vec::new(), Vec::new(), Vec::new(), quote!(None));
    let mut required = Vec::new();
    for field in &fields.named {
        let name = &field.ident;
        if is(field, "flatten")? {
            nested.push((name, &field.ty));
            continue;
        }
        if is(field, "subcommand")? {
            rest = quote!({ self.#name = Some(::plumbing::ordinary::Choice::choose(words)?); Some("") });
            continue;
        }
        let declaration = Declaration::read(field)?;
        if declaration.takes_the_rest() {
            let id = declaration.id();
            rest = quote!({ self.#name = words.to_vec(); Some(#id) });
        }
        if declaration.is_required() {
            required.push(declaration.id());
        }
        if let Some(known) = declaration.to_declared() {
            declared.push(known);
            set.push(declaration.to_setter());
        }
    }
    let (struct_name, nested_names) = (&input.ident, nested.iter().map(|(name, _)| name));
    let nested_types: Vec<_> = nested.iter().map(|(_, ty)| ty).collect();
    Ok(quote! {
        impl ::plumbing::ordinary::Ordinary for #struct_name {
            fn declared(name: ::plumbing::ordinary::Name<'_>) -> Option<&'static ::plumbing::ordinary::Declared> {
                use ::plumbing::ordinary::{Declared, Name, Takes};
                match name {
                    #(#declared)*
                    _ => None #(.or_else(|| <#nested_types as ::plumbing::ordinary::Ordinary>::declared(name)))*,
                }
            }

            fn set(&mut self, id: &str, value: Option<&::std::ffi::OsStr>) -> Option<()> {
                match id {
                    #(#set)*
                    _ => None #(.or_else(|| self.#nested_names.set(id, value)))*,
                }
            }

            fn has_required(is_given: &dyn Fn(&str) -> bool) -> bool {
                #(is_given(#required) &&)* #(<#nested_types as ::plumbing::ordinary::Ordinary>::has_required(is_given) &&)* true
            }

            fn take_rest(&mut self, words: &[::std::ffi::OsString]) -> Option<&'static str> {
                #rest
            }
        }
    })
}

fn is(field: &Field, what: &str) -> Result<bool> {
    Ok(metas(field, "command")?.iter().any(|meta| meta.path().is_ident(what)))
}

/// What is said in `#[arg(…)]`, or in `#[command(…)]`.
fn metas(field: &Field, attribute: &str) -> Result<Vec<Meta>> {
    let mut metas = Vec::new();
    for found in field.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
        metas.extend(found.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(metas)
}

/// The literal that an expression is.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    }
}
