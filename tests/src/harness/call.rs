//! Which reply answers which request, in types.

use protocol::{Reply, Request, v1};

/// A request whose reply has a type of its own.
pub trait Call {
    /// The reply.
    type Reply: std::fmt::Debug;

    /// The request, to be sent.
    fn into_request(self) -> Request;

    /// The reply, if it is of this request's command.
    ///
    /// # Errors
    /// Gives another command's reply back.
    fn reply(reply: Reply) -> Result<Self::Reply, Box<Reply>>;
}

macro_rules! calls {
    ($($command:ident: $request:ty => $reply:ty,)*) => {
        $(impl Call for $request {
            type Reply = $reply;

            fn into_request(self) -> Request {
                Request::$command(self)
            }

            fn reply(reply: Reply) -> Result<$reply, Box<Reply>> {
                match reply {
                    Reply::$command(reply) => Ok(reply),
                    other => Err(Box::new(other)),
                }
            }
        })*
    };
}

calls! {
    Hello: v1::Hello => v1::Welcome,
    Ping: v1::Ping => v1::Pong,
    Register: v1::RegisterRequest => v1::Session,
    Login: v1::LoginRequest => v1::Session,
    Logout: v1::LogoutRequest => v1::Empty,
    LogoutOthers: v1::LogoutOthersRequest => v1::LogoutOthersResponse,
    ListDevices: v1::ListDevicesRequest => v1::ListDevicesResponse,
    GetUsers: v1::GetUsersRequest => v1::GetUsersResponse,
    FindUser: v1::FindUserRequest => v1::FindUserResponse,
    UpdateProfile: v1::UpdateProfileRequest => v1::UpdateProfileResponse,
    Send: v1::SendRequest => v1::SendResponse,
    History: v1::HistoryRequest => v1::HistoryResponse,
    Sync: v1::SyncRequest => v1::SyncResponse,
    ListConversations: v1::ListConversationsRequest => v1::ListConversationsResponse,
    GetConversation: v1::GetConversationRequest => v1::GetConversationResponse,
    GetConversations: v1::GetConversationsRequest => v1::GetConversationsResponse,
    Delivered: v1::DeliveredRequest => v1::Empty,
    Read: v1::ReadRequest => v1::Empty,
    CreateGroup: v1::CreateGroupRequest => v1::SendResponse,
    AddMembers: v1::AddMembersRequest => v1::SendResponse,
    RemoveMember: v1::RemoveMemberRequest => v1::SendResponse,
    LeaveGroup: v1::LeaveGroupRequest => v1::SendResponse,
    SetRole: v1::SetRoleRequest => v1::SendResponse,
    RenameGroup: v1::RenameGroupRequest => v1::SendResponse,
    DisbandGroup: v1::DisbandGroupRequest => v1::SendResponse,
    ListMembers: v1::ListMembersRequest => v1::ListMembersResponse,
    Typing: v1::TypingRequest => v1::Empty,
}
