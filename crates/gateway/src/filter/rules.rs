//! The configured rules in the form that is matched: one machine for expressions, one per action for literals.
//!
//! Why here: compiled once with the configuration, so that every fault is an error of the start or of a reload, and
//! shared by all exchanges.
//!
//! Never here: state of a text.

use std::sync::Arc;

use super::FilterError;
use super::builtin::Builtin;
use super::expression::bounded;
use super::findings::Label;
use super::literals::{List, Literals};
use super::numbers::{BANK_CARD, MOBILE, RESIDENT_ID};
use super::program::{Program, Source};
use super::secrets::SECRETS;
use crate::config::{self, FilterAction, FilterRule, Pattern};

const RULES_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Rules {
    pub labels: Arc<[Label]>,
    pub program: Program,
    pub literals: Vec<(FilterAction, Literals)>,
}

impl Rules {
    pub fn new(config: &config::Filter) -> Result<Self, FilterError> {
        let mut program = Program::default();
        let actions = [FilterAction::Log, FilterAction::Mask, FilterAction::Stop];
        let mut lists = actions.map(|action| (action, List::default()));
        for (place, rule) in config.rules.iter().enumerate() {
            let fault = |why| FilterError { rule: rule.name.clone(), why };
            let number = u16::try_from(place).ok().filter(|_| place < RULES_MAX);
            let number = number.ok_or_else(|| fault(format!("more than {RULES_MAX} rules")))?;
            let list = lists.iter_mut().find(|(action, _)| *action == rule.action).map(|(_, list)| list);
            add(rule, number, &mut program, list).map_err(fault)?;
        }
        let mut literals = Vec::new();
        for (action, list) in lists {
            // The library counts states; which rule was one too many it does not say.
            let built = list.build().map_err(|why| FilterError { rule: "literals".to_owned(), why })?;
            literals.extend(built.map(|built| (action, built)));
        }
        let label = |rule: &FilterRule| Label { name: rule.name.as_str().into(), action: rule.action };
        Ok(Self { labels: config.rules.iter().map(label).collect(), program, literals })
    }

    pub fn action(&self, rule: u16) -> FilterAction {
        // A number comes from the list itself; were it not so, the strictest would be right.
        self.labels.get(usize::from(rule)).map_or(FilterAction::Stop, |label| label.action)
    }
}

fn add(rule: &FilterRule, number: u16, program: &mut Program, list: Option<&mut List>) -> Result<(), String> {
    match &rule.looks_for {
        Pattern::Literals(texts) => {
            if texts.is_empty() {
                return Err("the list of literals is empty".to_owned());
            }
            let Some(list) = list else { return Ok(()) };
            texts.iter().try_for_each(|text| list.add(number, text))
        }
        Pattern::Expression(text) => {
            let hir = bounded(text)?;
            let source = Source { hir: &hir, not_after: None, not_before: None, valid: None };
            program.add(number, source).map_err(|_| super::TOO_LARGE.to_owned())
        }
        Pattern::Secrets => add_all(SECRETS, program, number),
        Pattern::ResidentId => add_all(RESIDENT_ID, program, number),
        Pattern::MobileNumber => add_all(MOBILE, program, number),
        Pattern::BankCard => add_all(BANK_CARD, program, number),
    }
}

fn add_all(forms: &[Builtin], program: &mut Program, rule: u16) -> Result<(), String> {
    forms.iter().try_for_each(|form| form.add_to(program, rule))
}
