//! From a change to the live site on AWS: the whole service with CodeBuild, S3 and CloudFront on an emulator.

#![cfg(feature = "aws")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_codebuild::types::{
    ArtifactsType, ComputeType, EnvironmentType, ProjectArtifacts, ProjectEnvironment, ProjectSource, SourceType,
};
use freshet_aws::{Headers, Objects, SdkConfig, testing};
use freshet_build::runner::{CodeBuildRunner, Pace};
use freshet_build::{Runners, S3Hosting};
use freshet_domain::catalogue::{Preset, SiteAws, SiteBuild};
use freshet_proto::build::v1 as pb;
use serde_json::json;
use support::{World, builtin, site};

/// A project whose builds end when [`container`] has done its work.
async fn project(config: &SdkConfig) -> String {
    let name = testing::name("project");
    let environment = ProjectEnvironment::builder()
        .r#type(EnvironmentType::ArmContainer)
        .image("aws/codebuild/amazonlinux-aarch64-standard:3.0")
        .compute_type(ComputeType::BuildGeneral1Small);
    let source = ProjectSource::builder().r#type(SourceType::NoSource).buildspec("version: 0.2").build();
    aws_sdk_codebuild::Client::new(config)
        .create_project()
        .name(&name)
        .source(source.expect("a source"))
        .artifacts(ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build().expect("none"))
        .environment(environment.build().expect("an environment"))
        .service_role("arn:aws:iam::123456789012:role/build")
        .send()
        .await
        .expect("a project");
    testing::tell("/moto-api/codebuild", &json!({ &name: { "seconds": null } }).to_string()).await;
    name
}

/// What a project's buildspec does, once: reads the snapshot and leaves a site where it was told to.
async fn container(config: SdkConfig, project: String) {
    let client = aws_sdk_codebuild::Client::new(&config);
    let mut done = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let listed = client.list_builds_for_project().project_name(&project).send().await.expect("listed");
        for id in listed.ids.unwrap_or_default() {
            if done.contains(&id) {
                continue;
            }
            let got = client.batch_get_builds().ids(&id).send().await.expect("asked").builds.unwrap_or_default();
            let environment = got[0].environment().expect("an environment").environment_variables();
            let value = |name: &str| {
                let found = environment.iter().find(|each| each.name() == name).expect("a variable");
                let (bucket, key) = found.value().strip_prefix("s3://")?.split_once('/')?;
                Some((Objects::new(&config, bucket), key.to_owned()))
            };
            let (bucket, key) = value("FRESHET_CONTENT").expect("an address");
            let snapshot = bucket.get(&key).await.expect("asked").expect("the snapshot");
            let entries = zstd::decode_all(&snapshot.body[..]).expect("packed with zstd");
            let entries = String::from_utf8(entries).expect("text");
            let (bucket, folder) = value("FRESHET_OUTPUT").expect("an address");
            let page = format!("{} entries", entries.lines().count());
            for (path, text) in [("index.html", page.as_str()), ("about/index.html", "about")] {
                let (key, headers) = (format!("{folder}{path}"), Headers::default());
                bucket.put(&key, text.to_owned().into(), &headers).await.expect("put");
            }
            testing::tell("/moto-api/codebuild-end", &json!({ &id: "SUCCEEDED" }).to_string()).await;
            done.push(id);
        }
    }
}

async fn live(bucket: &Objects, path: &str) -> Option<String> {
    let object = bucket.get(&format!("live/{path}")).await.expect("asked")?;
    Some(String::from_utf8(object.body.to_vec()).expect("text"))
}

#[tokio::test]
async fn p4_a_change_becomes_a_live_site_through_codebuild_and_through_the_built_in_renderer() {
    let Some(config) = testing::config() else { return };
    let project = project(&config).await;
    let (built, rendered) = (testing::bucket(&config, "site").await, testing::bucket(&config, "site").await);
    let builds = testing::bucket(&config, "builds").await;
    let aws = |bucket: &Objects, project: Option<&str>| SiteAws {
        project: project.map(str::to_owned),
        bucket: bucket.bucket().to_owned(),
        distribution: None,
        secret_env: BTreeMap::new(),
    };
    let mut shop = site("acme", "shop", SiteBuild { preset: Preset::Eleventy, ..builtin() });
    shop.aws = Some(aws(&built, Some(&project)));
    let mut www = site("acme", "www", builtin());
    www.aws = Some(aws(&rendered, None));
    let world = World::new(&[shop, www]);

    let pace = Pace { poll: Duration::from_millis(200), ..Pace::default() };
    let runner = CodeBuildRunner::with_client(aws_sdk_codebuild::Client::new(&config), builds.clone(), pace);
    let hosting = S3Hosting::new(&config, world.catalogue.clone());
    let process = world.start_with(Runners::aws(Arc::new(runner)), Arc::new(hosting));
    let container = tokio::spawn(container(config.clone(), project));

    world.publish("acme", &["1", "2"]);
    let first = process.until_build("acme", "shop", pb::BuildState::Succeeded).await;
    assert_eq!(live(&built, "index.html").await.as_deref(), Some("2 entries"));
    let first = process.build("acme", &first.build_id).await;
    assert!(first.log_tail.contains("freshet: CodeBuild "), "{}", first.log_tail);
    process.until_build("acme", "www", pb::BuildState::Succeeded).await;
    assert!(live(&rendered, "index.html").await.is_some_and(|page| page.contains("<html")));

    world.publish("acme", &["3"]);
    support::until(async || match live(&built, "index.html").await.as_deref() {
        Some("3 entries") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    process.until_build("acme", "shop", pb::BuildState::Succeeded).await;
    // Back to the first release.
    let request = pb::RollbackSiteRequest {
        client_id: "acme".into(),
        site_id: "shop".into(),
        build_id: first.build_id.clone(),
        ..Default::default()
    };
    process.client.clone().rollback_site(request).await.expect("back");
    assert_eq!(live(&built, "index.html").await.as_deref(), Some("2 entries"));
    assert_eq!(builds.list("builds/").await.expect("listed"), [], "nothing is left of what builds were given");
    container.abort();
    process.stop().await;
}

/// Killed or stopped in order: what runs in CodeBuild goes on, and the next task brings its result live.
#[tokio::test]
async fn p4_a_build_in_codebuild_is_taken_over_by_the_next_task() {
    let Some(config) = testing::config() else { return };
    for is_killed in [true, false] {
        let project = project(&config).await;
        let (bucket, builds) = (testing::bucket(&config, "site").await, testing::bucket(&config, "builds").await);
        let mut shop = site("acme", "shop", SiteBuild { preset: Preset::Astro, ..builtin() });
        shop.aws = Some(SiteAws {
            project: Some(project.clone()),
            bucket: bucket.bucket().to_owned(),
            distribution: None,
            secret_env: BTreeMap::new(),
        });
        let mut world = World::new(std::slice::from_ref(&shop));
        let client = aws_sdk_codebuild::Client::new(&config);
        let start = |world: &World| {
            let pace = Pace { poll: Duration::from_millis(200), ..Pace::default() };
            let runner = CodeBuildRunner::with_client(client.clone(), builds.clone(), pace);
            let hosting = S3Hosting::new(&config, world.catalogue.clone());
            world.start_with(Runners::aws(Arc::new(runner)), Arc::new(hosting))
        };
        let first = start(&world);
        world.publish("acme", &["1"]);
        let started =
            async || client.list_builds_for_project().project_name(&project).send().await.expect("listed").ids;
        support::until(async || started().await.filter(|ids| ids.len() == 1).map(drop).ok_or("no build".to_owned()))
            .await;
        if is_killed {
            first.kill().await;
        } else {
            first.stop().await;
        }
        let late = world.forget_catalogue();
        let second = start(&world);
        // What it does not know yet it must not take for what is gone.
        tokio::time::sleep(Duration::from_millis(500)).await;
        late.replace(support::catalogue(&[shop], 10, 10));
        let container = tokio::spawn(container(config.clone(), project.clone()));
        let build = second.until_build("acme", "shop", pb::BuildState::Succeeded).await;
        assert_eq!((build.attempt, build.entries), (1, 1), "the same attempt, with what was known of it");
        assert_eq!(live(&bucket, "index.html").await.as_deref(), Some("1 entries"));
        let ids = started().await.unwrap_or_default();
        let all = client.batch_get_builds().set_ids(Some(ids)).send().await.expect("asked").builds.unwrap_or_default();
        let ends: Vec<&str> = all.iter().filter_map(|build| Some(build.build_status()?.as_str())).collect();
        assert_eq!(ends, ["SUCCEEDED"], "one build in CodeBuild");
        assert_eq!(second.builds("acme", "shop").await.len(), 1);
        container.abort();
        second.stop().await;
    }
}
