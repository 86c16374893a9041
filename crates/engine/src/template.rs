//! The model file's own chat template, in its own language.
//!
//! Why here: a conversation in another form than the model was trained on costs more quality than any setting. The template
//! travels in the file, written in Jinja with Python's string methods, so it is run and not guessed at.
//!
//! Never here: tools, thinking (switched off where the template knows the switch).

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

use crate::model::{Fault, Turn};

const NAME: &str = "chat";

/// A template that was checked with one conversation.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Template {
    /// Fails with a sentence when the template cannot be used.
    pub(crate) fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        // As the tools do for which these templates are written.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|e| sentence(&e))?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_template_owned(NAME, source).map_err(|e| sentence(&e))?;
        let template = Self { environment, bos, eos };
        let turn = |role: &str| Turn { role: role.into(), content: "x".into() };
        template.render(&[turn("system"), turn("user")]).map_err(|e| sentence(&e))?;
        Ok(template)
    }

    pub(crate) fn prompt(&self, turns: &[Turn]) -> Result<String, Fault> {
        self.render(turns).map_err(|e| {
            tracing::debug!(error = %e, "the template refused a conversation");
            Fault::caller("the model's chat template does not accept this order of messages")
        })
    }

    fn render(&self, turns: &[Turn]) -> Result<String, minijinja::Error> {
        let messages: Vec<Value> = turns
            .iter()
            .map(|t| context! { role => t.role.as_str(), content => t.content.as_str() })
            .collect();
        self.environment.get_template(NAME)?.render(context! {
            messages => messages,
            add_generation_prompt => true,
            enable_thinking => false,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        })
    }
}

fn sentence(error: &minijinja::Error) -> String {
    format!("its chat template cannot be used: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(source: &str, turns: &[(&str, &str)]) -> Result<String, Fault> {
        let turns: Vec<_> =
            turns.iter().map(|(r, c)| Turn { role: (*r).into(), content: (*c).into() }).collect();
        Template::new(source.into(), "<s>".into(), "</s>".into()).unwrap().prompt(&turns)
    }

    #[test]
    fn a_conversation_is_written_as_the_template_says() {
        let source = "{% for m in messages %}\n    {{ m['role'].upper() + ': ' + m.content.strip() }}\n{% endfor %}\
                      {% if add_generation_prompt %}GO{% endif %}{% if enable_thinking is defined and not enable_thinking %}!{% endif %}";
        assert_eq!(prompt(source, &[("user", " hi ")]).unwrap(), "    USER: hi\nGO!");
    }

    #[test]
    fn a_refusal_of_the_template_is_the_callers_fault() {
        let source = "{% if messages|length > 2 %}{{ raise_exception('no') }}{% endif %}";
        let fault = prompt(source, &[("user", "a"), ("user", "b"), ("user", "c")]).unwrap_err();
        assert_eq!(fault.status, http::StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_template_that_is_none_is_told_at_the_start() {
        assert!(
            Template::new("{% for %}".into(), String::new(), String::new()).unwrap_err().contains("template")
        );
    }
}
