//! The S3 operations that a folder has. What is not named here answers NotImplemented: creating
//! and deleting buckets, and their policies and settings, can't be reached.

use std::sync::Arc;

use s3s::{S3, S3Request, S3Response, S3Result, dto::*};

use super::{
    Fault,
    folder::{Conditions, Folder},
    intake::{self, Announced},
    object, page,
    record::Attributes,
    uploads::{self, Upload},
};

// Requests of several kinds share these fields but no type.
macro_rules! attributes {
    ($input:ident) => {
        Attributes {
            content_type: $input.content_type,
            content_encoding: $input.content_encoding,
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            expires: object::expires_text($input.expires.as_ref()),
            metadata: $input.metadata.into_iter().flatten().collect(),
        }
    };
}

macro_rules! announced {
    ($input:ident) => {
        Announced {
            length: $input.content_length,
            md5: $input.content_md5,
            checksum: Checksum {
                checksum_crc32: $input.checksum_crc32,
                checksum_crc32c: $input.checksum_crc32c,
                checksum_crc64nvme: $input.checksum_crc64nvme,
                checksum_sha1: $input.checksum_sha1,
                checksum_sha256: $input.checksum_sha256,
                ..Default::default()
            },
            algorithm: $input.checksum_algorithm,
        }
    };
}

macro_rules! plain_write {
    ($input:ident) => {
        object::plain_write(
            $input.sse_customer_algorithm.is_some()
                || $input.ssekms_key_id.is_some()
                || $input.server_side_encryption.is_some(),
            $input.tagging.is_some(),
            $input.object_lock_mode.is_some() || $input.object_lock_legal_hold_status.is_some(),
        )
    };
}

/// The operations of one folder.
pub(crate) struct Embedded {
    folder: Arc<Folder>,
}

impl Embedded {
    pub(crate) const fn new(folder: Arc<Folder>) -> Self {
        Self { folder }
    }

    /// Runs calls that block where they may.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Fault> + Send + 'static,
    ) -> S3Result<T> {
        let folder = self.folder.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&folder)).await;
        let outcome = outcome.map_err(|_| Fault::Io(std::io::Error::other("interrupted")))?;
        Ok(outcome?)
    }
}

#[async_trait::async_trait]
impl S3 for Embedded {
    async fn list_buckets(
        &self,
        _: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let found = self.on_disk(Folder::buckets).await?;
        let buckets = found.into_iter().map(|(name, made)| Bucket {
            name: Some(name),
            creation_date: Some(made.into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            ..Default::default()
        }))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.on_disk(move |folder| folder.bucket(&req.input.bucket))
            .await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.on_disk(move |folder| folder.bucket(&req.input.bucket))
            .await?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.on_disk(move |folder| folder.bucket(&req.input.bucket))
            .await?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        Ok(S3Response::new(
            self.on_disk(move |folder| page::version_1(folder, req.input))
                .await?,
        ))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        Ok(S3Response::new(
            self.on_disk(move |folder| page::version_2(folder, req.input))
                .await?,
        ))
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        object::plain_version(
            input.version_id.as_deref(),
            input.part_number,
            input.sse_customer_algorithm.is_some(),
        )?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let found = self
            .on_disk(move |folder| folder.open(&bucket, &key))
            .await?;
        object::read_conditions(
            &found,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        Ok(S3Response::new(object::get(found, input.range)?))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        object::plain_version(
            input.version_id.as_deref(),
            input.part_number,
            input.sse_customer_algorithm.is_some(),
        )?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let found = self
            .on_disk(move |folder| folder.open(&bucket, &key))
            .await?;
        object::read_conditions(
            &found,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        Ok(S3Response::new(object::head(found, input.range)?))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        plain_write!(input)?;
        if input.write_offset_bytes.is_some() {
            return Err(Fault::NotImplemented("Appending is not supported.").into());
        }
        let (bucket, key) = (input.bucket, input.key);
        let stage = {
            let (bucket, key) = (bucket.clone(), key.clone());
            self.on_disk(move |folder| {
                folder.bucket(&bucket)?;
                super::keys::path_of(&key)?;
                folder.stage()
            })
        };
        let (stage, file) = stage.await?;
        let announced = announced!(input);
        let taken = intake::take(input.body, file, announced).await?;
        let attributes = attributes!(input);
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let etag = taken.etag();
        let stored = etag.clone();
        self.on_disk(move |folder| {
            folder.commit(&bucket, &key, stage, &stored, attributes, &conditions)
        })
        .await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: taken.checksum.checksum_crc32,
            checksum_crc32c: taken.checksum.checksum_crc32c,
            checksum_crc64nvme: taken.checksum.checksum_crc64nvme,
            checksum_sha1: taken.checksum.checksum_sha1,
            checksum_sha256: taken.checksum.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        // The protocol's library knows no condition on the target of a copy.
        let conditions = Conditions {
            if_match: None,
            if_none_match: object::only_new(&req.headers)?,
        };
        let input = req.input;
        plain_write!(input)?;
        object::plain_version(
            None,
            None,
            input.copy_source_sse_customer_algorithm.is_some(),
        )?;
        let (from_bucket, from_key) = object::source(&input.copy_source)?;
        let (bucket, key) = (input.bucket, input.key);
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        if !replace && (&from_bucket, &from_key) == (&bucket, &key) {
            let problem = "A copy of an object onto itself must replace its metadata.";
            return Err(s3s::S3Error::with_message(
                s3s::S3ErrorCode::InvalidRequest,
                problem,
            ));
        }
        let found = self
            .on_disk(move |folder| folder.open(&from_bucket, &from_key))
            .await?;
        object::source_conditions(
            &found,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
            input.copy_source_if_modified_since.as_ref(),
            input.copy_source_if_unmodified_since.as_ref(),
        )?;
        let attributes = if replace {
            attributes!(input)
        } else {
            found.attributes.clone()
        };
        let (etag, modified) = self
            .on_disk(move |folder| {
                let size = found.size;
                let (stage, md5) = object::copy(folder, found, 0, size)?;
                let etag = data_encoding::HEXLOWER.encode(&md5);
                let modified =
                    folder.commit(&bucket, &key, stage, &etag, attributes, &conditions)?;
                Ok((etag, modified))
            })
            .await?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(ETag::Strong(etag)),
                last_modified: Some(modified.into()),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        object::plain_version(input.version_id.as_deref(), None, false)?;
        object::plain_delete(
            input.if_match_last_modified_time.is_some() || input.if_match_size.is_some(),
        )?;
        self.on_disk(move |folder| folder.remove(&input.bucket, &input.key, input.if_match))
            .await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        if input.delete.objects.len() > 1000 {
            return Err(s3s::S3Error::new(s3s::S3ErrorCode::MalformedXML));
        }
        let output = self
            .on_disk(move |folder| object::remove_many(folder, &input.bucket, input.delete))
            .await?;
        Ok(S3Response::new(output))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        plain_write!(input)?;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            attributes: attributes!(input),
        };
        let id = self
            .on_disk(move |folder| folder.start_upload(&upload))
            .await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        let number = object::part_number(input.part_number)?;
        if input.sse_customer_algorithm.is_some() {
            return Err(Fault::NotImplemented("Encryption is not supported.").into());
        }
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let (place, (stage, file)) = self
            .on_disk(move |folder| {
                let (_, place) = folder.upload(&bucket, &key, &id)?;
                Ok((place, folder.stage()?))
            })
            .await?;
        let announced = announced!(input);
        let taken = intake::take(input.body, file, announced).await?;
        let md5 = taken.md5;
        self.on_disk(move |folder| folder.place_part(&place, number, &md5, stage))
            .await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(taken.etag())),
            checksum_crc32: taken.checksum.checksum_crc32,
            checksum_crc32c: taken.checksum.checksum_crc32c,
            checksum_crc64nvme: taken.checksum.checksum_crc64nvme,
            checksum_sha1: taken.checksum.checksum_sha1,
            checksum_sha256: taken.checksum.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = req.input;
        let number = object::part_number(input.part_number)?;
        let (from_bucket, from_key) = object::source(&input.copy_source)?;
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let (place, found) = self
            .on_disk(move |folder| {
                let (_, place) = folder.upload(&bucket, &key, &id)?;
                Ok((place, folder.open(&from_bucket, &from_key)?))
            })
            .await?;
        object::source_conditions(
            &found,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
            input.copy_source_if_modified_since.as_ref(),
            input.copy_source_if_unmodified_since.as_ref(),
        )?;
        let (start, length) = object::source_range(input.copy_source_range.as_deref(), found.size)?;
        let modified = found.modified;
        let md5 = self
            .on_disk(move |folder| {
                let (stage, md5) = object::copy(folder, found, start, length)?;
                folder.place_part(&place, number, &md5, stage)?;
                Ok(md5)
            })
            .await?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(ETag::Strong(data_encoding::HEXLOWER.encode(&md5))),
                last_modified: Some(modified.into()),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let output = self
            .on_disk(move |folder| {
                let (_, place) =
                    folder.upload(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
                Ok(page::parts(uploads::parts(&place)?, req.input))
            })
            .await?;
        Ok(S3Response::new(output))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let output = self
            .on_disk(move |folder| page::uploads(folder.pending(&req.input.bucket)?, req.input));
        Ok(S3Response::new(output.await?))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let mut wanted = Vec::new();
        for part in input
            .multipart_upload
            .into_iter()
            .flat_map(|upload| upload.parts.unwrap_or_default())
        {
            let number = object::part_number(part.part_number.unwrap_or_default())?;
            wanted.push((number, part.e_tag.map(ETag::into_value)));
        }
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id);
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let etag = self
            .on_disk(move |folder| {
                let (upload, place) = folder.upload(&bucket, &key, &id)?;
                let (stage, etag) = folder.join(&place, &wanted)?;
                folder.commit(&bucket, &key, stage, &etag, upload.attributes, &conditions)?;
                folder.end_upload(&place)?;
                Ok(etag)
            })
            .await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        self.on_disk(move |folder| {
            let (_, place) = folder.upload(&input.bucket, &input.key, &input.upload_id)?;
            folder.end_upload(&place)
        })
        .await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
