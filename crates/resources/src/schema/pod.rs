//! The fields of Pod, `v1`, as deep as a person writes them.

use super::shape::{
    ANY_LIST, Field, INTEGER, MANY, PORT, Shape, TEXT, TEXT_MAP, TEXTS, list, optional, required,
};

/// All fields.
pub(crate) const FIELDS: &[Field] =
    &[optional("spec", Shape::Object(SPEC)), optional("status", Shape::Object(STATUS))];

const SPEC: &[Field] = &[
    optional("activeDeadlineSeconds", INTEGER),
    optional("affinity", Shape::Any),
    optional("automountServiceAccountToken", Shape::Boolean),
    optional("containers", CONTAINERS),
    optional("dnsConfig", Shape::Any),
    optional("dnsPolicy", TEXT),
    optional("enableServiceLinks", Shape::Boolean),
    optional("ephemeralContainers", ANY_LIST),
    optional("hostAliases", ANY_LIST),
    optional("hostIPC", Shape::Boolean),
    optional("hostNetwork", Shape::Boolean),
    optional("hostPID", Shape::Boolean),
    optional("hostUsers", Shape::Boolean),
    optional("hostname", TEXT),
    optional("hostnameOverride", TEXT),
    optional("imagePullSecrets", ANY_LIST),
    optional("initContainers", CONTAINERS),
    optional("nodeName", TEXT),
    optional("nodeSelector", TEXT_MAP),
    optional("os", Shape::Any),
    optional("overhead", Shape::Any),
    optional("preemptionPolicy", TEXT),
    optional("priority", INTEGER),
    optional("priorityClassName", TEXT),
    optional("readinessGates", ANY_LIST),
    optional("resourceClaims", ANY_LIST),
    optional("resources", Shape::Any),
    optional("restartPolicy", TEXT),
    optional("runtimeClassName", TEXT),
    optional("schedulerName", TEXT),
    optional("schedulingGates", ANY_LIST),
    optional("schedulingGroup", Shape::Any),
    optional("securityContext", Shape::Any),
    optional("serviceAccount", TEXT),
    optional("serviceAccountName", TEXT),
    optional("setHostnameAsFQDN", Shape::Boolean),
    optional("shareProcessNamespace", Shape::Boolean),
    optional("subdomain", TEXT),
    optional("terminationGracePeriodSeconds", INTEGER),
    optional("tolerations", ANY_LIST),
    optional("topologySpreadConstraints", ANY_LIST),
    optional("volumes", ANY_LIST),
    optional("workloadRef", Shape::Any),
];

const CONTAINERS: Shape = Shape::List(&list(Shape::Object(CONTAINER), 0, MANY).unique_by("name"));

const CONTAINER: &[Field] = &[
    optional("args", TEXTS),
    optional("command", TEXTS),
    optional("env", ANY_LIST),
    optional("envFrom", ANY_LIST),
    optional("image", TEXT),
    optional("imagePullPolicy", TEXT),
    optional("lifecycle", Shape::Any),
    optional("livenessProbe", Shape::Any),
    required("name", TEXT),
    optional("ports", Shape::List(&list(Shape::Object(CONTAINER_PORT), 0, MANY))),
    optional("readinessProbe", Shape::Any),
    optional("resizePolicy", ANY_LIST),
    optional("resources", Shape::Any),
    optional("restartPolicy", TEXT),
    optional("restartPolicyRules", ANY_LIST),
    optional("securityContext", Shape::Any),
    optional("startupProbe", Shape::Any),
    optional("stdin", Shape::Boolean),
    optional("stdinOnce", Shape::Boolean),
    optional("terminationMessagePath", TEXT),
    optional("terminationMessagePolicy", TEXT),
    optional("tty", Shape::Boolean),
    optional("volumeDevices", ANY_LIST),
    optional("volumeMounts", ANY_LIST),
    optional("workingDir", TEXT),
];

const CONTAINER_PORT: &[Field] = &[
    required("containerPort", PORT),
    optional("hostIP", TEXT),
    optional("hostPort", INTEGER),
    optional("name", TEXT),
    optional("protocol", TEXT),
];

const STATUS: &[Field] = &[
    optional("allocatedResources", Shape::Any),
    optional("conditions", Shape::List(&list(Shape::Object(CONDITION), 0, MANY).unique_by("type"))),
    optional("containerStatuses", ANY_LIST),
    optional("ephemeralContainerStatuses", ANY_LIST),
    optional("extendedResourceClaimStatus", Shape::Any),
    optional("hostIP", TEXT),
    optional("hostIPs", ANY_LIST),
    optional("initContainerStatuses", ANY_LIST),
    optional("message", TEXT),
    optional("nominatedNodeName", TEXT),
    optional("observedGeneration", Shape::Any),
    optional("phase", Shape::OneOf(&["Pending", "Running", "Succeeded", "Failed", "Unknown"])),
    optional("podIP", TEXT),
    optional("podIPs", ANY_LIST),
    optional("qosClass", TEXT),
    optional("reason", TEXT),
    optional("resize", TEXT),
    optional("resourceClaimStatuses", ANY_LIST),
    optional("resources", Shape::Any),
    optional("startTime", TEXT),
];

const CONDITION: &[Field] = &[
    optional("lastProbeTime", TEXT),
    optional("lastTransitionTime", TEXT),
    optional("message", TEXT),
    optional("observedGeneration", Shape::Any),
    optional("reason", TEXT),
    required("status", Shape::OneOf(&["True", "False", "Unknown"])),
    required("type", TEXT),
];
