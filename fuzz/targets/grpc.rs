//! Requests as they come over the socket: decoding ends, and what was decoded is written as the same.
#![no_main]

use bascule_proto::v1;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fn read<M: Message + Default + PartialEq>(data: &[u8]) {
    if let Ok(message) = M::decode(data) {
        let again = M::decode(&message.encode_to_vec()[..]);
        assert!(again.is_ok_and(|again| again == message));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let readers: &[fn(&[u8])] = &[
        read::<v1::ListAlertsRequest>,
        read::<v1::TestAlertsRequest>,
        read::<v1::ReadAuditRequest>,
        read::<v1::ConnectRequest>,
        read::<v1::ListConnectionsRequest>,
        read::<v1::ShowConnectionRequest>,
        read::<v1::RenameRequest>,
        read::<v1::LimitRequest>,
        read::<v1::ReplaceCredentialsRequest>,
        read::<v1::PauseConnectionRequest>,
        read::<v1::ResumeConnectionRequest>,
        read::<v1::BrowseRequest>,
        read::<v1::ReconnectCardRequest>,
        read::<v1::PlanRequest>,
        read::<v1::StartDeletionRequest>,
        read::<v1::WatchDeletionRequest>,
        read::<v1::ListDeletionsRequest>,
        read::<v1::ShowDeletionRequest>,
        read::<v1::CancelDeletionRequest>,
        read::<v1::ListReceiptsRequest>,
        read::<v1::GetReceiptRequest>,
        read::<v1::AcknowledgeFindingRequest>,
        read::<v1::MarkDeadRequest>,
        read::<v1::UnmarkDeadRequest>,
        read::<v1::LookRequest>,
        read::<v1::JudgeRequest>,
        read::<v1::ListFindingsRequest>,
        read::<v1::ShowFindingRequest>,
        read::<v1::IssueKeyRequest>,
        read::<v1::ListKeysRequest>,
        read::<v1::ShowKeyRequest>,
        read::<v1::RestrictKeyRequest>,
        read::<v1::PauseKeyRequest>,
        read::<v1::ResumeKeyRequest>,
        read::<v1::RevokeKeyRequest>,
        read::<v1::ReportLeakRequest>,
        read::<v1::ProveLeakRequest>,
        read::<v1::RotateRequest>,
        read::<v1::ShowRotationRequest>,
        read::<v1::EndRotationRequest>,
        read::<v1::CancelRotationRequest>,
        read::<v1::GoOnRequest>,
        read::<v1::StatusRequest>,
        read::<v1::MetricsRequest>,
        read::<v1::UsageReportRequest>,
        read::<v1::WatchUsageRequest>,
    ];
    readers[usize::from(*first) % readers.len()](data);
});
