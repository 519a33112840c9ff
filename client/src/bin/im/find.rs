//! Finding people: `im find`.

use protocol::{v1, validate::FOUND_USERS_MAX};
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    text,
};

pub(crate) fn run(context: &Context, words: &[String]) -> Result<(), Failure> {
    let client = context.client()?;
    let request = v1::SearchUsersRequest {
        query: words.join(" "),
        limit: u32::try_from(FOUND_USERS_MAX).unwrap_or(u32::MAX),
    };
    let found = client.ask(request, CALL_TIMEOUT)?;
    if found.users.is_empty() {
        return Err(Failure::Nothing("nobody has a name with these words".to_owned()));
    }
    for user in &found.users {
        let json = || {
            json!({
                "type": "user",
                "user_id": user.user_id,
                "name": user.name,
                "display_name": user.display_name,
                "status": user.status,
            })
        };
        let plain = || {
            let shown = match user.display_name.as_str() {
                "" => String::new(),
                name => format!("  {}", text::line(name)),
            };
            format!(
                "{}{shown}",
                context.output.bold(&format!("@{}", text::line(&user.name)))
            )
        };
        context.output.print(json, plain)?;
    }
    if found.more {
        let json = || json!({ "type": "more" });
        let plain = || "there are more: say more of the name".to_owned();
        context.output.print(json, plain)?;
    }
    Ok(())
}
